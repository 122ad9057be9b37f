/** Dialogs that ask first. */

import { button, element } from "./element";

export interface Question {
  title: string;
  text: string;
  yes: string;
  no: string;
}

/** Return whether the user agrees; Escape does not. */
export function askFirst({ title, text, yes, no }: Question): Promise<boolean> {
  const heading = element("h2", { text: title, id: "question" });
  const dialog = element("dialog", { attributes: { "aria-labelledby": "question" } }, heading, element("p", { text }));
  const answer = (value: string) => () => dialog.close(value);
  const refuse = button(no, answer("no"));
  dialog.append(element("div", { class: "row end" }, refuse, button(yes, answer("yes"), { class: "danger" })));
  document.body.append(dialog);
  dialog.showModal();
  refuse.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}
