/** What the browser remembers over a reload: what is shown and how; all else the backend keeps. */

import type { State } from "./state";
import type { Store } from "./store";

const KEY = "dinocell";

const SETTINGS = ["labels", "segment", "brush", "theme"] as const;

export interface Memory extends Partial<Pick<State, (typeof SETTINGS)[number]>> {
  image?: string;
  result?: string;
  /** By image. */
  channels?: Record<string, State["channels"]>;
}

/** Return what was remembered; nothing where the browser keeps nothing. */
export function remembered(): Memory {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") as Memory;
  } catch {
    return {};
  }
}

/** Images whose channels are remembered. */
const IMAGES_KEPT = 50;

/** Remember from now on what is shown. */
export function remember(store: Store<State>): void {
  const channels = new Map(Object.entries(remembered().channels ?? {}));
  store.watch(["image", "result", "channels", ...SETTINGS], (state) => {
    if (!state.image) return;
    channels.delete(state.image.id);
    channels.set(state.image.id, state.channels);
    const memory: Memory = {
      image: state.image.id,
      result: state.result?.id,
      channels: Object.fromEntries([...channels].slice(-IMAGES_KEPT)),
    };
    for (const key of SETTINGS) Object.assign(memory, { [key]: state[key] });
    try {
      localStorage.setItem(KEY, JSON.stringify(memory));
    } catch {
      // A browser that keeps nothing begins anew after a reload.
    }
  });
}
