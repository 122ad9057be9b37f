/** Panel that segments: model, what is outlined, and how large cells are. */

import { button, choice, element, field, fillChoice, section } from "../elements/element";
import type { Session } from "../state/session";
import type { SegmentSetting, State } from "../state/state";
import { channelOf, chosenModel, isUnderWay, jobOf, segment, segmentAll } from "../actions/jobs";

const TARGETS: Record<string, string> = { auto: "automatic", cells: "whole cells", nuclei: "nuclei" };
const SIZES = [
  ["auto", "automatic"],
  ["none", "as the image is"],
  ["given", "diameter in pixels"],
] as const;

export function segmentPanel(session: Session): HTMLElement {
  return section(
    "Segment",
    modelField(session),
    targetField(session),
    channelField(session),
    sizeField(session),
    startButtons(session),
  );
}

function change({ store }: Session, part: Partial<SegmentSetting>): void {
  store.set({ segment: { ...store.state.segment, ...part } });
}

function modelField(session: Session): HTMLElement {
  const select = choice([], (model) => change(session, { model }));
  const words = element("p", { class: "hint" });
  session.store.watch(["models", "segment"], (state) => {
    fillChoice(
      select,
      state.models.map(({ name, own }) => [name, own ? `${name} (adapted by you)` : name]),
    );
    const shown = state.models.find(({ name }) => name === chosenModel(state));
    if (shown) select.value = shown.name;
    words.textContent = shown?.description ?? "";
  });
  const made = field("Model", select);
  made.append(words);
  return made;
}

function targetField(session: Session): HTMLElement {
  const select = choice([], (target) => change(session, { target }));
  session.store.watch(["models", "segment"], (state) => {
    const model = state.models.find(({ name }) => name === chosenModel(state));
    const targets = ["auto", ...(model?.targets ?? []).filter((name) => name !== "auto")];
    fillChoice(
      select,
      targets.map((name) => [name, TARGETS[name] ?? name]),
    );
    select.value = targets.includes(state.segment.target) ? state.segment.target : "auto";
  });
  return field("Outline (target)", select);
}

/** Return the choice of a channel, of an image that has several. */
function channelField(session: Session): HTMLElement {
  const select = choice([], (channel) => change(session, { channel }));
  const made = field("Channel", select);
  session.store.watch(["image", "segment"], ({ image, segment: chosen }) => {
    const index = image ? channelOf(chosen, image) : null;
    made.hidden = index === null;
    fillChoice(
      select,
      (image?.channels ?? []).map(({ name }) => [name, name]),
    );
    const shown = image?.channels.find((channel) => channel.index === index);
    if (shown) select.value = shown.name;
  });
  return made;
}

function sizeField(session: Session): HTMLElement {
  const select = choice(SIZES, (size) => change(session, { size: size as SegmentSetting["size"] }));
  const diameter = element("input", {
    attributes: { type: "number", min: "1", max: "10000", step: "any", "aria-label": "diameter in pixels" },
  });
  diameter.addEventListener("change", () => {
    if (diameter.valueAsNumber > 0) change(session, { diameter: diameter.valueAsNumber });
  });
  session.store.watch(["segment"], ({ segment: chosen }) => {
    select.value = chosen.size;
    diameter.hidden = chosen.size !== "given";
    if (document.activeElement !== diameter) diameter.value = String(chosen.diameter);
  });
  const made = field("Size of cells (diameter)", select);
  made.append(diameter);
  made.classList.add("with-number");
  return made;
}

function startButtons(session: Session): HTMLElement {
  const { store } = session;
  const one = button("Segment", () => store.state.image && void segment(session, store.state.image), {
    class: "primary",
  });
  const all = button("Segment all", () => void segmentAll(session));
  store.watch(["image", "images", "jobs"], (state) => {
    one.disabled = !state.image || runs(state, state.image.id);
    all.hidden = state.images.length < 2;
    all.disabled = state.images.every(({ id }) => runs(state, id));
  });
  return element("div", { class: "row" }, one, all);
}

function runs(state: Readonly<State>, image: string): boolean {
  const job = jobOf(state.jobs, image);
  return job !== null && isUnderWay(job);
}
