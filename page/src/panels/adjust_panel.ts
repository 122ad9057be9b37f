/** Panel of thresholds, which flood again from the kept map. */

import type { Result, Thresholds } from "../backend";
import { button, choice, element, fillChoice, section } from "../elements/element";
import type { Session } from "../state/session";
import { describe, flood, resultsOf, showResult } from "../actions/results";

const DEBOUNCE_MS = 120;

const MEANINGS = [
  ["cells_max_threshold", "cells_max", "Higher: fewer cells, only the surest; lower: more cells"],
  ["cell_fill_threshold", "cell_fill", "Higher: smaller outlines; lower: larger ones"],
  ["merge", "merge", "Lower: cells that touch are joined; higher: they stay apart"],
] as const;

type Name = (typeof MEANINGS)[number][0];

export function adjustPanel(session: Session): HTMLElement {
  const words = element("p", { class: "found" });
  const sliders = MEANINGS.map(([name, short, meaning]) => thresholdSlider(name, short, meaning, () => soon()));
  const reset = button("Back to the model's values", () => {
    const { result } = session.store.state;
    if (result) void flood(session, result.own_thresholds);
  });
  const why = element("p", { class: "hint" });
  let timer: number | undefined;
  const soon = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => {
      const thresholds: Partial<Thresholds> = {};
      for (const slider of sliders) thresholds[slider.name] = slider.value();
      void flood(session, thresholds);
    }, DEBOUNCE_MS);
  };
  session.store.watch(["result", "image"], ({ result, image }) => {
    words.textContent = result ? describe(result) : image ? "Segment the image first." : "Choose an image first.";
    for (const slider of sliders) slider.show(result);
    reset.disabled = !result?.adjustable;
    why.textContent =
      result && !result.adjustable ? "Its distance map was not kept, so the sliders cannot make the cells anew." : "";
    why.hidden = !why.textContent;
  });
  const adjust = section("Adjust", ...sliders.map(({ root }) => root), why, reset);
  session.store.watch(["result"], ({ result }) => (adjust.hidden = !result));
  return element("div", {}, section("Result", resultChoice(session), words, imageNotes(session)), adjust);
}

interface Slider {
  name: Name;
  root: HTMLElement;
  value: () => number;
  show: (result: Result | null) => void;
}

function thresholdSlider(name: Name, short: string, meaning: string, onMove: () => void): Slider {
  const range = element("input", {
    id: name,
    attributes: { type: "range", min: "0", max: "1", step: "0.01", "aria-describedby": `${name}-meaning` },
  });
  const number = element("input", {
    attributes: { type: "number", min: "0", max: "1", step: "0.01", "aria-label": `${short} as a number` },
  });
  range.addEventListener("input", () => {
    number.value = range.value;
    onMove();
  });
  number.addEventListener("change", () => {
    if (!(number.valueAsNumber >= 0 && number.valueAsNumber <= 1)) return;
    range.value = number.value;
    onMove();
  });
  const root = element(
    "div",
    { class: "threshold" },
    element("label", { text: short, attributes: { for: name } }),
    number,
    range,
    element("p", { class: "hint", text: meaning, id: `${name}-meaning` }),
  );
  const show = (result: Result | null) => {
    range.disabled = number.disabled = !result?.adjustable;
    if (!result) return;
    range.value = String(result.thresholds[name]);
    number.value = String(Number(result.thresholds[name].toFixed(3)));
  };
  return { name, root, value: () => range.valueAsNumber, show };
}

/** Return what the backend wants to be known of the shown image, such as which plane of a stack it is. */
function imageNotes(session: Session): HTMLElement {
  const list = element("ul", { class: "hint", attributes: { "aria-label": "Notes on the image" } });
  session.store.watch(["image"], ({ image }) => {
    list.hidden = !image?.notes.length;
    list.replaceChildren(...(image?.notes ?? []).map((text) => element("li", { text })));
  });
  return list;
}

/** Return a choice among the results of the shown image, where there are several. */
function resultChoice(session: Session): HTMLElement {
  const select = choice(
    [],
    (id) => {
      const chosen = session.store.state.results.find((result) => result.id === id);
      if (chosen) showResult(session, chosen);
    },
    { attributes: { "aria-label": "Result" } },
  );
  session.store.watch(["results", "result", "image"], ({ result, image }) => {
    const results = resultsOf(session, image?.id);
    select.hidden = results.length < 2;
    fillChoice(
      select,
      results.map(({ id, model, target, count }, at) => [
        id,
        `${results.length - at}. ${model}, ${target}, ${count} found`,
      ]),
    );
    if (result) select.value = result.id;
  });
  return select;
}
