/** What stands in place of the picture while there is none, or no cells in it. */

import { element } from "../elements/element";
import type { Session } from "../state/session";

export function emptyPicture(session: Session): HTMLElement {
  const box = element(
    "div",
    { class: "empty" },
    element("p", { class: "big", text: "Drop images here" }),
    element("p", {
      text:
        session.backend.kind === "server"
          ? "They go to the computer that runs DINOCell, and nowhere else."
          : "They stay in this browser, until this page is closed. Nothing is sent anywhere.",
    }),
  );
  session.store.watch(["image"], ({ image }) => (box.hidden = image !== null));
  return box;
}
