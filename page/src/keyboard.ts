/** Keys of the whole page: those of napari, and some for the view. */

import { POINT_KEYS } from "./correct/gestures";
import { showKeys } from "./panels/keys_dialog";
import type { Session } from "./state/session";
import { type Corrections, MODE_OF } from "./actions/corrections";
import type { Viewer } from "./viewer/viewer";

const BRUSH = { least: 1, most: 100 };
const ZOOM = 1.5;

/** Let keys act until they are typed into a field or a dialog is open. */
export function listenToKeys(session: Session, viewer: Viewer, corrections: Corrections): void {
  const { store } = session;
  const act: Record<string, () => unknown> = {
    e: () => corrections.togglePaint(viewer.point),
    n: () => corrections.next(),
    h: () =>
      store.set({
        labels: { ...store.state.labels, shape: store.state.labels.shape === "hidden" ? "fill" : "hidden" },
      }),
    "[": () => store.set({ brush: Math.max(BRUSH.least, store.state.brush - stepOf(store.state.brush)) }),
    "]": () => store.set({ brush: Math.min(BRUSH.most, store.state.brush + stepOf(store.state.brush)) }),
    "0": () => viewer.fit(),
    "+": () => viewer.zoom(ZOOM),
    "-": () => viewer.zoom(1 / ZOOM),
    "?": showKeys,
    Escape: () => {
      viewer.giveUp();
      corrections.setMode("move");
    },
  };
  for (const key of POINT_KEYS) {
    act[key.toLowerCase()] = () => {
      if (viewer.point) return corrections.press(key, viewer.point);
      corrections.setMode(MODE_OF[key]);
    };
  }
  document.addEventListener("keydown", (event) => {
    if (isTyping(event) || document.querySelector("dialog[open]") || event.altKey) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const isCommand = event.ctrlKey || event.metaKey;
    const action = isCommand
      ? name === "z"
        ? () => corrections.step(event.shiftKey ? "redo" : "undo")
        : undefined
      : act[name];
    if (!action) return;
    event.preventDefault();
    void action();
  });
}

function stepOf(brush: number): number {
  return brush < 10 ? 1 : brush < 40 ? 4 : 10;
}

/** Return whether a key belongs to the field that has the focus; sliders and boxes take no letters. */
function isTyping({ target }: KeyboardEvent): boolean {
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "range", "color", "file"].includes(target.type);
  return target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
}
