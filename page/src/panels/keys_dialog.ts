/** Dialog that lists the keys. */

import { button, element } from "../elements/element";
import { KEYS } from "./keys";

/** Show the keys. */
export function showKeys(): void {
  if (document.querySelector("dialog.keys")) return;
  const list = element("dl");
  for (const { parts, joint, meaning } of KEYS) {
    const names = parts.flatMap((part, at) => [...(at ? [joint] : []), element("kbd", { text: part })]);
    list.append(element("dt", {}, ...names), element("dd", { text: meaning }));
  }
  const dialog = element(
    "dialog",
    { class: "keys", attributes: { "aria-labelledby": "keys-title" } },
    element("h2", { text: "Keys", id: "keys-title" }),
    list,
  );
  const note =
    "They act under the pointer. While the picture has the focus and no pointer, they act at the cross in its middle, and arrow keys move it. Elsewhere A, S, M, D and E begin what a click then does.";
  dialog.append(
    element("p", { class: "hint", text: note }),
    element(
      "div",
      { class: "row end" },
      button("Close", () => dialog.close(), { class: "primary" }),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
