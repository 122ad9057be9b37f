/** The page: what it is made of, and what is loaded first. */

import type { Point } from "./backend";
import { POINT_KEYS } from "./correct/gestures";
import { listenToDrops } from "./dropping";
import { element } from "./elements/element";
import { listenToKeys } from "./keyboard";
import { layOut } from "./layout";
import { remember, remembered } from "./state/memory";
import { attempt, type Session } from "./state/session";
import { Viewer } from "./viewer/viewer";
import { Corrections, MODE_OF } from "./actions/corrections";
import { showImage } from "./actions/images";
import { keepJob } from "./actions/jobs";
import { keepResult } from "./actions/results";

const PICTURE = "Picture: arrow keys move it, plus and minus zoom, the keys of the list act at the cross";

/** Build the page, and show what was shown before. */
export async function openPage(session: Session): Promise<void> {
  session.store.set(settingsKept());
  const picture = element("div", {
    id: "picture",
    class: "picture",
    attributes: { tabindex: "0", role: "application", "aria-label": PICTURE },
  });
  const viewer = new Viewer(session, picture, {
    onClick: (point) => void click(session, corrections, viewer, point),
    onStroke: (stroke) => void corrections.finishStroke(stroke),
  });
  const corrections = new Corrections(session, viewer);
  document.body.append(...layOut(session, viewer, corrections));
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
  const lists = await attempt(session, () =>
    Promise.all([backend.models(), backend.images(), backend.jobs(), backend.results()]),
  );
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
