/** Line below the picture: what happened, and what is under the pointer. */

import { button, element } from "../elements/element";
import { say, type Session } from "../state/session";
import type { State } from "../state/state";

export function statusBar(session: Session): HTMLElement {
  const words = element("p", { class: "notice", attributes: { role: "status", "aria-live": "polite" } });
  const place = element("p", { class: "place" });
  session.store.watch(["notice"], ({ notice }) => {
    words.textContent = notice && !notice.isProblem ? notice.text : "";
  });
  session.store.watch(["pointer", "image", "result"], (state) => (place.textContent = placeOf(state)));
  return element("div", { class: "status-bar" }, words, place);
}

function placeOf({ pointer, image, result }: Readonly<State>): string {
  if (!image) return "";
  if (!pointer) return `${image.width} × ${image.height} px`;
  const cell = !result || pointer.cell === null ? "" : pointer.cell ? ` · cell ${pointer.cell}` : " · no cell";
  return `row ${Math.round(pointer.row)}, column ${Math.round(pointer.column)}${cell}`;
}

/** Return a box over the picture that holds a problem until it is closed. */
export function problemBox(session: Session): HTMLElement {
  const words = element("p");
  const box = element(
    "div",
    { class: "problem-box", attributes: { role: "alert" } },
    words,
    button("Close", () => say(session, ""), { class: "small" }),
  );
  session.store.watch(["notice"], ({ notice }) => {
    box.hidden = !notice?.isProblem;
    words.textContent = notice?.isProblem ? notice.text : "";
  });
  return box;
}
