/** Panel that segments: model, what is outlined, and how large cells are. */

import { button, choice, element, field, fillChoice, section } from "../elements/element";
import type { Session } from "../state/session";
import type { SegmentSetting, State } from "../state/state";
import { channelOf, chosenModel, isUnderWay, jobOf, segment, segmentAll } from "../work/jobs";

const TARGETS: Record<string, string> = { auto: "automatic", cells: "whole cells", nuclei: "nuclei" };
const SIZES = [
  ["auto", "automatic"],
  ["none", "as the image is"],
  ["given", "diameter in pixels"],
] as const;

export function segmentPanel(session: Session): HTMLElement {
  const { store } = session;
  const change = (part: Partial<SegmentSetting>) => store.set({ segment: { ...store.state.segment, ...part } });
  const model = choice([], (value) => change({ model: value }));
  const target = choice([], (value) => change({ target: value }));
  const channel = choice([], (value) => change({ channel: value }));
  const channelField = field("Channel", channel);
  const size = choice(SIZES, (value) => change({ size: value as SegmentSetting["size"] }));
  const diameter = element("input", {
    attributes: { type: "number", min: "1", max: "10000", step: "any", "aria-label": "diameter in pixels" },
  });
  diameter.addEventListener("change", () => {
    if (diameter.valueAsNumber > 0) change({ diameter: diameter.valueAsNumber });
  });
  const words = element("p", { class: "hint" });
  const one = button("Segment", () => store.state.image && void segment(session, store.state.image), {
    class: "primary",
  });
  const all = button("Segment all", () => void segmentAll(session));
  const modelField = field("Model", model);
  modelField.append(words);
  store.watch(["models", "segment"], (state) => {
    const { segment: chosen, models } = state;
    fillChoice(
      model,
      models.map(({ name, own }) => [name, own ? `${name} (adapted by you)` : name]),
    );
    const shown = models.find(({ name }) => name === chosenModel(state));
    if (shown) model.value = shown.name;
    words.textContent = shown?.description ?? "";
    fillChoice(target, targetsOf(shown?.targets ?? []));
    target.value = [...target.options].some(({ value }) => value === chosen.target) ? chosen.target : "auto";
    size.value = chosen.size;
    diameter.hidden = chosen.size !== "given";
    if (document.activeElement !== diameter) diameter.value = String(chosen.diameter);
  });
  store.watch(["image", "segment"], ({ image, segment: chosen }) => {
    const index = image ? channelOf(chosen, image) : null;
    channelField.hidden = index === null;
    fillChoice(
      channel,
      (image?.channels ?? []).map(({ name }) => [name, name]),
    );
    const shown = image?.channels.find((other) => other.index === index);
    if (shown) channel.value = shown.name;
  });
  store.watch(["image", "images", "jobs"], (state) => {
    one.disabled = !state.image || runs(state, state.image.id);
    all.hidden = state.images.length < 2;
    all.disabled = state.images.every(({ id }) => runs(state, id));
  });
  const sizes = field("Size of cells (diameter)", size);
  sizes.append(diameter);
  sizes.classList.add("with-number");
  return section(
    "Segment",
    modelField,
    field("Outline (target)", target),
    channelField,
    sizes,
    element("div", { class: "row" }, one, all),
  );
}

function targetsOf(targets: string[]): [string, string][] {
  return ["auto", ...targets.filter((name) => name !== "auto")].map((name) => [name, TARGETS[name] ?? name]);
}

function runs(state: Readonly<State>, image: string): boolean {
  const job = jobOf(state.jobs, image);
  return job !== null && isUnderWay(job);
}
