/** Toolbar of corrections: each key of napari as a button, then the tools of the mode that is chosen. */

import { button, drawn, element } from "../elements/element";
import { roveFocus } from "../elements/roving";
import type { Session } from "../state/session";
import type { Mode, State, Tool } from "../state/state";
import { countOf } from "../table/numbers";
import type { Corrections } from "../actions/corrections";
import { ICONS } from "./icons";
import { meaningOf } from "./keys";

const MODES: [Mode, string, string][] = [
  ["move", "Move", "Esc"],
  ["add", "Add", "A"],
  ["split", "Split", "S"],
  ["merge", "Merge", "M"],
  ["delete", "Delete", "D"],
  ["paint", "Paint", "E"],
];

const TOOLS: Partial<Record<Mode, [Tool, string][]>> = {
  add: [
    ["click", "Click"],
    ["box", "Box"],
    ["outline", "Outline"],
  ],
  split: [
    ["click", "Two clicks"],
    ["line", "Line"],
  ],
};

export function toolbar(session: Session, corrections: Corrections): HTMLElement {
  const bar = element("div", {
    class: "toolbar",
    attributes: { role: "toolbar", "aria-label": "Correct", "aria-controls": "picture" },
  });
  for (const [mode, name, key] of MODES) bar.append(modeButton(session, corrections, mode, name, key));
  const next = iconButton(
    "next",
    "Next",
    "N",
    () => void corrections.next(),
    () => session.store.state.result?.editable ?? false,
    session,
  );
  const undo = iconButton(
    "undo",
    "Undo",
    "Ctrl+Z",
    () => void corrections.step("undo"),
    () => session.store.state.result?.can_undo ?? false,
    session,
  );
  const redo = iconButton(
    "redo",
    "Redo",
    "Ctrl+Shift+Z",
    () => void corrections.step("redo"),
    () => session.store.state.result?.can_redo ?? false,
    session,
  );
  bar.append(next, element("span", { class: "gap" }), undo, redo);
  roveFocus(bar);
  const below = element("div", { class: "below" }, toolRow(session, corrections), checkedRow(session, corrections));
  session.store.watch(["result"], ({ result }) => (below.hidden = !result?.editable));
  return element("div", { class: "correcting" }, bar, below);
}

function iconButton(
  icon: string,
  name: string,
  key: string,
  onClick: () => void,
  isEnabled: () => boolean,
  session: Session,
): HTMLButtonElement {
  const made = button("", onClick, {
    class: "tool",
    title: `${meaningOf(key)} (${key})`,
    attributes: { "aria-keyshortcuts": shortcut(key) },
  });
  made.append(picture(icon), element("span", { text: name }));
  if (key.length === 1)
    made.append(element("span", { class: "key", text: key, attributes: { "aria-hidden": "true" } }));
  session.store.watch(["result"], () => (made.disabled = !isEnabled()));
  return made;
}

function modeButton(
  session: Session,
  corrections: Corrections,
  mode: Mode,
  name: string,
  key: string,
): HTMLButtonElement {
  const isEnabled = () => mode === "move" || (session.store.state.result?.editable ?? false);
  const press = () => corrections.setMode(session.store.state.mode === mode ? "move" : mode);
  const made = iconButton(mode, name, key, press, isEnabled, session);
  session.store.watch(["mode"], (state) => made.setAttribute("aria-pressed", String(state.mode === mode)));
  return made;
}

function shortcut(key: string): string {
  return key.replace("Ctrl", "Control").replace("Esc", "Escape");
}

function picture(name: string): SVGSVGElement {
  return drawn(
    "svg",
    { viewBox: "0 0 20 20", "aria-hidden": "true", class: "icon" },
    drawn("path", { d: ICONS[name] }),
  );
}

/** Return the tools of the mode, and the brush. */
function toolRow(session: Session, corrections: Corrections): HTMLElement {
  const row = element("div", { class: "tools", attributes: { role: "group", "aria-label": "Tools" } });
  const tools = element("div", { class: "row" });
  const brush = brushControls(session);
  row.append(tools, brush);
  session.store.watch(["mode", "tool"], (state) => {
    const offered = TOOLS[state.mode] ?? [];
    tools.replaceChildren(...offered.map(([tool, name]) => toolButton(state, corrections, tool, name)));
    brush.hidden = state.mode !== "paint";
    row.hidden = !offered.length && brush.hidden;
  });
  return row;
}

function toolButton(state: Readonly<State>, corrections: Corrections, tool: Tool, name: string): HTMLButtonElement {
  return button(name, () => corrections.setMode(state.mode, tool), {
    class: "small",
    attributes: { "aria-pressed": String(state.tool === tool) },
  });
}

function brushControls(session: Session): HTMLElement {
  const { store } = session;
  const size = element("input", {
    attributes: { type: "range", min: "1", max: "100", "aria-label": "Brush in pixels" },
  });
  size.addEventListener("input", () => store.set({ brush: size.valueAsNumber }));
  const words = element("output", { class: "number" });
  const erase = button("Erase", () => store.set({ isErasing: !store.state.isErasing }), { class: "small" });
  store.watch(["brush", "isErasing"], ({ brush, isErasing }) => {
    size.value = String(brush);
    words.textContent = `${brush} px`;
    erase.setAttribute("aria-pressed", String(isErasing));
  });
  return element("div", { class: "row" }, element("span", { text: "Brush" }), size, words, erase);
}

/** Return how many cells a person has checked, and a box that says all of them are right. */
function checkedRow(session: Session, corrections: Corrections): HTMLElement {
  const bar = element("progress", { attributes: { "aria-label": "Cells that are checked" } });
  const words = element("span", { class: "hint" });
  const box = element("input", { attributes: { type: "checkbox" } });
  box.addEventListener("change", () => void corrections.checkAll(box.checked));
  const all = element(
    "label",
    { title: "No cell is missing, and every one that is there is right" },
    box,
    element("span", { text: "All of it is right" }),
  );
  const row = element("div", { class: "checked" }, bar, words, all);
  session.store.watch(["result"], ({ result }) => {
    if (!result) return;
    const done = result.all_checked ? result.count : Math.min(result.checked.length, result.count);
    bar.max = Math.max(result.count, 1);
    bar.value = done;
    words.textContent = `${countOf(done)} of ${countOf(result.count)} checked`;
    box.checked = result.all_checked;
  });
  return row;
}
