/** Dialog that lists the keys. */

import { button, element } from "../elements/element";
import { KEYS } from "./keys";

/** Show the keys. */
export function showKeys(): void {
  if (document.querySelector("dialog.keys")) return;
  const list = element("dl");
  for (const [key, meaning] of Object.entries(KEYS)) {
    list.append(element("dt", {}, ...key.split(/( and |\+(?=.))/).map((part, at) => (at % 2 ? part : element("kbd", { text: part })))), element("dd", { text: meaning }));
  }
  const dialog = element("dialog", { class: "keys", attributes: { "aria-labelledby": "keys-title" } }, element("h2", { text: "Keys", id: "keys-title" }), list);
  const note = "They act under the pointer; without one, at the cross in the middle of the picture, which arrow keys move.";
  dialog.append(element("p", { class: "hint", text: note }), element("div", { class: "row end" }, button("Close", () => dialog.close(), { class: "primary" })));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
