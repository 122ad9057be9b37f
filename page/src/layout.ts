/** Layout: which parts the page has, and where they stand. */

import { button, element } from "./elements/element";
import { type Tab, Tabs } from "./elements/tabs";
import { NARROW } from "./elements/widths";
import { adaptPanel } from "./panels/adapt_panel";
import { adjustPanel } from "./panels/adjust_panel";
import { cellsPanel } from "./panels/cells_panel";
import { downloadPanel } from "./panels/download_panel";
import { emptyPicture } from "./panels/empty_picture";
import { header, lostBanner } from "./panels/header";
import { imagesPanel } from "./panels/images_panel";
import { planesBar } from "./panels/planes_bar";
import { segmentPanel } from "./panels/segment_panel";
import { showPanel } from "./panels/show_panel";
import { problemBox, statusBar } from "./panels/status_bar";
import { toolbar } from "./panels/toolbar";
import type { Session } from "./state/session";
import type { Viewer } from "./viewer/viewer";
import type { Corrections } from "./actions/corrections";

/** Return all parts of the page: head, images, picture, panels. */
export function layOut(session: Session, viewer: Viewer, corrections: Corrections): HTMLElement[] {
  const frame = element(
    "div",
    { class: "frame" },
    viewer.target,
    emptyPicture(session),
    zoomButtons(viewer),
    viewer.scaleBar.root,
    problemBox(session),
  );
  const main = element(
    "main",
    { attributes: { "aria-label": "Picture" } },
    toolbar(session, corrections),
    planesBar(session),
    frame,
    statusBar(session),
  );
  const images = element("div", { class: "panel" }, imagesPanel(session), segmentPanel(session));
  const imagesSide = element("aside", {
    class: "images-side",
    attributes: { "aria-label": "Images and segmentation" },
  });
  const panels = panelsOf(session, viewer);
  const tabs = new Tabs([{ name: "images", title: "Images", panel: images }, ...panels]);
  const side = element(
    "aside",
    { class: "panels-side", attributes: { "aria-label": "Panels" } },
    tabs.list,
    ...panels.map(({ panel }) => panel),
  );
  const narrow = window.matchMedia(NARROW);
  const place = () => placeImages(narrow.matches, tabs, images, imagesSide, side);
  narrow.addEventListener("change", place);
  place();
  return [header(session), lostBanner(session), imagesSide, main, side];
}

function zoomButtons(viewer: Viewer): HTMLElement {
  return element(
    "div",
    { class: "zoom", attributes: { role: "group", "aria-label": "Zoom" } },
    button("+", () => viewer.zoom(2), { title: "Zoom in (+)", attributes: { "aria-label": "Zoom in" } }),
    button("−", () => viewer.zoom(0.5), { title: "Zoom out (-)", attributes: { "aria-label": "Zoom out" } }),
    button("Fit", () => viewer.fit(), { title: "Show all of the image (0)" }),
  );
}

function panelsOf(session: Session, viewer: Viewer): Tab[] {
  const panel = (content: HTMLElement) => element("div", { class: "panel" }, content);
  const tabs = [
    { name: "adjust", title: "Adjust", panel: panel(adjustPanel(session)) },
    { name: "show", title: "Show", panel: panel(showPanel(session)) },
    { name: "cells", title: "Cells", panel: panel(cellsPanel(session, (cell) => viewer.goTo(cell))) },
    { name: "download", title: "Download", panel: panel(downloadPanel(session)) },
  ];
  return session.backend.abilities.fineTune
    ? [...tabs, { name: "adapt", title: "Adapt", panel: panel(adaptPanel(session)) }]
    : tabs;
}

/** Put the images beside the picture, or where it is narrow among the panels. */
function placeImages(
  isNarrow: boolean,
  tabs: Tabs,
  images: HTMLElement,
  imagesSide: HTMLElement,
  side: HTMLElement,
): void {
  (isNarrow ? side : imagesSide).append(images);
  tabs.setHidden("images", !isNarrow);
  imagesSide.hidden = isNarrow;
  if (isNarrow) images.setAttribute("role", "tabpanel");
  else images.removeAttribute("role");
  if (!isNarrow && tabs.current === "images") tabs.choose("adjust");
}
