/** Panel of images: files are dropped or chosen, and listed with what is done with them. */

import type { State, Upload } from "../state/state";
import { button, element, section } from "../elements/element";
import type { Session } from "../state/session";
import { addFiles } from "../actions/images";
import { jobOf } from "../actions/jobs";
import { ImageRow } from "./image_row";

export function imagesPanel(session: Session): HTMLElement {
  const input = element("input", { attributes: { type: "file", multiple: "", "aria-label": "Image files" } });
  input.hidden = true;
  input.addEventListener("change", () => {
    void addFiles(session, [...(input.files ?? [])]);
    input.value = "";
  });
  const drop = element(
    "div",
    { class: "drop" },
    button("Choose images", () => input.click(), { class: "primary" }),
    element("p", { class: "hint", text: "or drop them anywhere on this page" }),
    input,
  );
  const uploads = element("ul", { class: "uploads", attributes: { "aria-label": "Files on their way" } });
  const list = element("ul", { class: "images", attributes: { "aria-label": "Images" } });
  const rows = new Map<string, ImageRow>();
  session.store.watch(["uploads"], ({ uploads: files }) => {
    uploads.replaceChildren(...files.map(uploadRow));
    uploads.hidden = !files.length;
  });
  session.store.watch(["images", "jobs", "results", "image"], (state) => showRows(session, state, rows, list));
  return section("Images", drop, uploads, list);
}

function uploadRow(upload: Upload): HTMLElement {
  const bar = element("progress", { attributes: { max: "1", "aria-label": `Progress of ${upload.name}` } });
  bar.value = upload.share;
  bar.hidden = upload.problem !== null;
  const words = upload.problem ?? (upload.share < 1 ? "sending" : "reading");
  return element(
    "li",
    { class: "upload" },
    element("span", { class: "name", text: upload.name }),
    element("span", { class: upload.problem ? "status problem" : "status", text: words }),
    bar,
    button(upload.problem ? "Close" : "Cancel", upload.cancel, {
      class: "small",
      attributes: { "aria-label": `${upload.problem ? "Close" : "Cancel"} ${upload.name}` },
    }),
  );
}

function showRows(session: Session, state: Readonly<State>, rows: Map<string, ImageRow>, list: HTMLElement): void {
  const ids = new Set(state.images.map(({ id }) => id));
  for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id);
  const shown = state.images.map((image) => {
    const row = rows.get(image.id) ?? new ImageRow(session, image);
    rows.set(image.id, row);
    const result = state.results.find((other) => other.image === image.id) ?? null;
    row.update(jobOf(state.jobs, image.id), result, state.image?.id === image.id);
    return row.root;
  });
  const isSame = shown.length === list.children.length && shown.every((root, at) => list.children[at] === root);
  if (!isSame) list.replaceChildren(...shown);
}
