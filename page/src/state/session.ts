/** A backend with the state of the page: what every view and every action is given. */

import { type Backend, BackendError } from "../backend";
import type { State } from "./state";
import type { Store } from "./store";

export interface Session {
  readonly backend: Backend;
  readonly store: Store<State>;
}

/** Show words to the user, also to those who hear the page. */
export function say(session: Session, text: string, isProblem = false): void {
  session.store.set({ notice: text ? { text, isProblem } : null });
}

/** Do something, and show its problem in the backend's words; undefined where there was one. */
export async function attempt<Value>(session: Session, action: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return undefined;
    if (!(error instanceof BackendError)) console.error(error);
    say(session, error instanceof Error ? error.message : String(error), true);
    return undefined;
  }
}
