/** Files that are dropped anywhere on the page. */

import type { Session } from "./state/session";
import { addFiles } from "./actions/images";

/** Take in files that are dropped, and show that they may be. */
export function listenToDrops(session: Session): void {
  const root = document.documentElement;
  const show = (isOver: boolean) => root.classList.toggle("dropping", isOver);
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    show(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) show(false);
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    show(false);
    void addFiles(session, [...(event.dataTransfer?.files ?? [])]);
  });
}
