/** The page: its parts, where they stand, and what is loaded first. */

import { listenToDrops } from "./dropping";
import { button, element } from "./elements/element";
import { type Tab, Tabs } from "./elements/tabs";
import { listenToKeys } from "./keyboard";
import { adaptPanel } from "./panels/adapt_panel";
import { adjustPanel } from "./panels/adjust_panel";
import { cellsPanel } from "./panels/cells_panel";
import { downloadPanel } from "./panels/download_panel";
import { emptyPicture } from "./panels/empty_picture";
import { header, lostBanner } from "./panels/header";
import { imagesPanel } from "./panels/images_panel";
import { segmentPanel } from "./panels/segment_panel";
import { showPanel } from "./panels/show_panel";
import { problemBox, statusBar } from "./panels/status_bar";
import { toolbar } from "./panels/toolbar";
import { attempt, type Session } from "./state/session";
import { remember, remembered } from "./state/memory";
import { Viewer } from "./viewer/viewer";
import { Corrections, MODE_OF } from "./work/corrections";
import { showImage } from "./work/images";
import { keepJob } from "./work/jobs";
import { keepResult } from "./work/results";
import type { Point } from "./backend";
import { POINT_KEYS } from "./correct/gestures";

/** Below this width the images are a panel among the others. */
const NARROW = "(max-width: 899px)";

/** Build the page, and show what was shown before. */
export async function openPage(session: Session): Promise<void> {
  session.store.set(settingsKept());
  const picture = element("div", {
    id: "picture",
    class: "picture",
    attributes: { tabindex: "0", role: "application", "aria-label": "Picture: arrow keys move it, plus and minus zoom, the keys of the list act at the cross" },
  });
  const viewer = new Viewer(session, picture, {
    onClick: (point) => void click(session, corrections, viewer, point),
    onStroke: (stroke) => void corrections.finishStroke(stroke),
  });
  const corrections = new Corrections(session, viewer);
  document.body.append(...parts(session, viewer, corrections, picture));
  listenToKeys(session, viewer, corrections);
  listenToDrops(session);
  if (!session.backend.abilities.keeps) askBeforeLeaving(session);
  session.backend.onJob((job) => keepJob(session, job));
  await load(session);
  remember(session.store);
}

/** Load the lists of the backend; the image and result of before are shown again. */
export async function load(session: Session): Promise<void> {
  const { backend, store } = session;
  const lists = await attempt(session, () => Promise.all([backend.models(), backend.images(), backend.jobs(), backend.results()]));
  if (!lists) return;
  const [models, images, jobs, results] = lists;
  store.set({ models, images, jobs, results });
  const { result: before } = store.state;
  const now = results.find(({ id }) => id === before?.id);
  if (now && now.version !== before?.version) keepResult(session, now);
  const { image, result } = remembered();
  const shown = images.find(({ id }) => id === (store.state.image?.id ?? image)) ?? images[0] ?? null;
  showImage(session, shown, result);
}

function settingsKept(): Partial<Session["store"]["state"]> {
  const { image: _image, result: _result, channels: _channels, ...settings } = remembered();
  return settings;
}

/** Ask before the page is closed while there are corrections that nobody else keeps. */
function askBeforeLeaving({ store }: Session): void {
  window.addEventListener("beforeunload", (event) => {
    if (store.state.results.some(({ edits }) => edits > 0)) event.preventDefault();
  });
}

/** Act at a point in the mode that is chosen; without one, choose the cell there. */
async function click(session: Session, corrections: Corrections, viewer: Viewer, point: Point): Promise<void> {
  const { mode } = session.store.state;
  const key = POINT_KEYS.find((name) => MODE_OF[name] === mode);
  if (key) await corrections.press(key, point);
  else session.store.set({ selected: (await viewer.cellAt(point)) || null });
}

function parts(session: Session, viewer: Viewer, corrections: Corrections, picture: HTMLElement): HTMLElement[] {
  const frame = element("div", { class: "frame" }, picture, emptyPicture(session), zoomButtons(viewer), viewer.scaleBar.root, problemBox(session));
  const main = element("main", { attributes: { "aria-label": "Picture" } }, toolbar(session, corrections), frame, statusBar(session));
  const images = element("div", { class: "panel" }, imagesPanel(session), segmentPanel(session));
  const imagesSide = element("aside", { class: "images-side", attributes: { "aria-label": "Images and segmentation" } });
  const panels = panelsOf(session, viewer);
  const tabs = new Tabs([{ name: "images", title: "Images", panel: images }, ...panels]);
  const side = element("aside", { class: "panels-side", attributes: { "aria-label": "Panels" } }, tabs.list, ...panels.map(({ panel }) => panel));
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
  return session.backend.abilities.fineTune ? [...tabs, { name: "adapt", title: "Adapt", panel: panel(adaptPanel(session)) }] : tabs;
}

/** Put the images beside the picture, or where it is narrow among the panels. */
function placeImages(isNarrow: boolean, tabs: Tabs, images: HTMLElement, imagesSide: HTMLElement, side: HTMLElement): void {
  (isNarrow ? side : imagesSide).append(images);
  tabs.setHidden("images", !isNarrow);
  imagesSide.hidden = isNarrow;
  if (isNarrow) images.setAttribute("role", "tabpanel");
  else images.removeAttribute("role");
  if (!isNarrow && tabs.current === "images") tabs.choose("adjust");
}
