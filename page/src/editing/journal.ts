/** Lines of a file of edits, which `dinocell edit` repeats: the same, letter by letter, as Python writes them. */
import type { Edit, Point } from "../backend";
import type { Labels } from "../numerics/plane";
import type { Outcome } from "./scene";
import { sha256 } from "./sha256";

/** Compute the SHA-256 of a label image: of its shape, and its ids as little-endian int32. */
export function hashLabels(labels: Labels): string {
  const shape = new TextEncoder().encode(`(${labels.height}, ${labels.width})`);
  const bytes = new Uint8Array(shape.length + 4 * labels.data.length);
  bytes.set(shape);
  const view = new DataView(bytes.buffer);
  labels.data.forEach((id, at) => view.setInt32(shape.length + 4 * at, id, true));
  return sha256(bytes);
}

/** Return the first line: what the edits were made on. */
export function startLine(labels: Labels, version: string): string {
  return JSON.stringify({ dinocell: version, labels: hashLabels(labels), shape: [labels.height, labels.width] });
}

export function stepLine(step: "undo" | "redo"): string {
  return `{"edit": "${step}"}`;
}

/** Return the line of an edit: what was asked for, and the pixels that it changed. */
export function editLine(edit: Edit, { change, ids, notes }: Outcome): string {
  const fields = [`"edit": "${edit.edit}"`, ...askedFor(edit)];
  fields.push(`"made": ${list(ids.map(String))}`);
  fields.push(`"notes": ${list(notes.map((note) => JSON.stringify(note)))}`);
  fields.push(`"pixels": ${list(change.runs().map((run) => list(run.map(String))))}`);
  return `{${fields.join(", ")}}`;
}

function askedFor(edit: Edit): string[] {
  switch (edit.edit) {
    case "add":
      return [
        ...(edit.points?.length ? [`"points": ${points(edit.points)}`] : []),
        ...(edit.outside?.length ? [`"outside": ${points(edit.outside)}`] : []),
        ...(edit.box ? [`"box": ${points(edit.box)}`] : []),
        ...(edit.outline?.length ? [`"outline": ${points(edit.outline)}`] : []),
        ...(edit.level === undefined ? [] : [`"level": ${float(edit.level)}`]),
      ];
    case "split":
      return edit.points?.length
        ? [`"points": ${list(edit.points.map(points))}`]
        : [`"line": ${points(edit.line ?? [])}`];
    case "merge":
    case "delete":
      return [`"ids": ${list(edit.ids.map(String))}`];
    case "paint":
      return [`"id": ${edit.id}`, `"mask": ${list(edit.mask.map((run) => list(run.map(String))))}`];
  }
}

function list(items: string[]): string {
  return `[${items.join(", ")}]`;
}

function points(given: readonly Point[]): string {
  return list(given.map(([row, column]) => list([float(row), float(column)])));
}

/** Write a float as Python does: 12 is 12.0. */
function float(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    const [digits, power] = value.toExponential().split("e");
    return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
  }
  if (Object.is(value, -0)) return "-0.0";
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
