/** Panel of how things are shown: channels of the image, and the cells. */

import { choice, element, field, fillChoice, section } from "../elements/element";
import type { Session } from "../state/session";
import type { LabelSetting } from "../state/state";
import { textOf } from "../table/numbers";
import { numberColumns } from "../table/order";
import { colourOfShare, cssOf } from "../viewer/colours";
import { colouring } from "../viewer/label_style";
import { channelsPart } from "./channels_part";

const SHAPES = [
  ["fill", "Areas"],
  ["outline", "Outlines"],
  ["hidden", "Hidden"],
] as const;
const OWN = "";

export function showPanel(session: Session): HTMLElement {
  return element(
    "div",
    {},
    section("Cells", shapes(session), colours(session), opacity(session)),
    channelsPart(session),
  );
}

function change(session: Session, part: Partial<LabelSetting>): void {
  session.store.set({ labels: { ...session.store.state.labels, ...part } });
}

function shapes(session: Session): HTMLElement {
  const group = element(
    "fieldset",
    { class: "segmented" },
    element("legend", { class: "hidden", text: "How cells are shown" }),
  );
  for (const [shape, text] of SHAPES) {
    const input = element("input", { attributes: { type: "radio", name: "shape", value: shape } });
    input.addEventListener("change", () => change(session, { shape }));
    session.store.watch(["labels"], ({ labels }) => (input.checked = labels.shape === shape));
    group.append(element("label", {}, input, element("span", { text })));
  }
  return group;
}

function colours(session: Session): HTMLElement {
  const select = choice([], (value) => change(session, { colourBy: value || null }));
  const legend = element("div", { class: "legend" });
  session.store.watch(["table", "labels"], (state) => {
    const columns = numberColumns(state.table);
    fillChoice(select, [[OWN, "each its own"], ...columns.map((name): [string, string] => [name, name])]);
    const by = colouring(state);
    select.value = by?.column ?? OWN;
    legend.hidden = by === null;
    if (by)
      legend.replaceChildren(
        element("span", { text: textOf(by.ends[0]) }),
        gradient(by.column),
        element("span", { text: textOf(by.ends[1]) }),
      );
  });
  const made = field("Colour", select);
  made.append(legend);
  return made;
}

function gradient(column: string): HTMLCanvasElement {
  const canvas = element("canvas", {
    attributes: { role: "img", "aria-label": `Colours of ${column}, from dark for low to bright for high` },
  });
  [canvas.width, canvas.height] = [128, 1];
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width && context; x++) {
    context.fillStyle = cssOf(colourOfShare(x / (canvas.width - 1)));
    context.fillRect(x, 0, 1, 1);
  }
  return canvas;
}

function opacity(session: Session): HTMLElement {
  const input = element("input", { attributes: { type: "range", min: "0.1", max: "1", step: "0.05" } });
  input.addEventListener("input", () => change(session, { opacity: input.valueAsNumber }));
  session.store.watch(["labels"], ({ labels }) => (input.value = String(labels.opacity)));
  return field("Opacity", input);
}
