/** Panel of downloads: each format with its meaning. */

import type { Result } from "../backend";
import { button, element, section } from "../elements/element";
import type { Session } from "../state/session";
import { download, downloadAll } from "../actions/downloads";

export function downloadPanel(session: Session): HTMLElement {
  const list = element("ul", { class: "formats" });
  const words = element("p", { class: "hint" });
  const all = element("input", { attributes: { type: "checkbox" } });
  const every = element(
    "label",
    { class: "row" },
    all,
    element("span", { text: "of all images, one after the other" }),
  );
  let shown = "";
  session.store.watch(["result", "images"], ({ result, images }) => {
    every.hidden = images.length < 2;
    words.textContent = result ? "" : "Segment an image first.";
    words.hidden = result !== null;
    const key = JSON.stringify(result?.formats ?? []);
    if (key === shown) return;
    shown = key;
    list.replaceChildren(...(result?.formats ?? []).map((format) => formatRow(session, format, all)));
  });
  return section("Download", words, every, list);
}

function formatRow(session: Session, format: Result["formats"][number], all: HTMLInputElement): HTMLElement {
  const save = button(
    "Download",
    () => {
      const { result } = session.store.state;
      if (all.checked) void downloadAll(session, format.name);
      else if (result) void download(session, result, format.name);
    },
    { class: "small", attributes: { "aria-label": `Download ${format.name}` } },
  );
  const words = element(
    "span",
    { class: "words" },
    element("strong", { text: format.name }),
    element("span", { class: "hint", text: format.meaning }),
  );
  return element("li", {}, words, save);
}
