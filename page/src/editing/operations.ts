/** Operations on labels: what was asked for, as data, and what becomes of a scene. */
import type { Edit } from "../backend";
import { InputError } from "../numerics/errors";
import { maxId, numberPieces } from "../numerics/labels";
import { cut } from "../numerics/plane";
import { add } from "./add";
import { Change } from "./change";
import { maskOf, type Outcome, type Scene } from "./scene";
import { split } from "./split";

/** Return what becomes of a scene; a new id is put into an edit that asks for a new cell. */
export function perform(scene: Scene, edit: Edit): Outcome {
  switch (edit.edit) {
    case "add":
      return add(scene, edit);
    case "split":
      return split(scene, edit);
    case "merge":
      return merge(scene, checkIds(edit.ids));
    case "delete":
      return remove(scene, checkIds(edit.ids));
    case "paint":
      return paint(scene, edit.id ?? scene.nextId, edit.mask);
  }
}

/** Return the ids, each once; raise for what is not numbers of cells. */
function checkIds(ids: readonly number[]): number[] {
  if (!ids.length) throw new InputError("ids is empty, expected one cell or more");
  if (!ids.every((id) => Number.isInteger(id) && id > 0)) {
    throw new InputError(`ids is [${ids.join(", ")}], expected the numbers of cells`);
  }
  return [...new Set(ids)];
}

function remove(scene: Scene, ids: number[]): Outcome {
  scene.checkCells(ids);
  const window = scene.windowOf(ids);
  const part = cut(scene.labels, window);
  const data = part.data.map((id) => (ids.includes(id) ? 0 : id));
  return { change: Change.of(scene.labels, window, { ...part, data }), ids: [], notes: [] };
}

/** Merge cells into the one with the lowest id; a note says if they do not touch. */
function merge(scene: Scene, ids: number[]): Outcome {
  if (ids.length < 2) throw new InputError(`ids is [${ids.join(", ")}], expected two cells or more to merge`);
  scene.checkCells(ids);
  const window = scene.windowOf(ids);
  const kept = Math.min(...ids);
  const part = cut(scene.labels, window);
  const merged = maskOf(part, (id) => ids.includes(id));
  const pieces = maxId(numberPieces(merged, true));
  const data = part.data.map((id, at) => (merged.data[at] ? kept : id));
  return {
    change: Change.of(scene.labels, window, { ...part, data }),
    ids: [kept],
    notes: pieces > 1 ? [`cell ${kept} has ${pieces} pieces that do not touch`] : [],
  };
}

/** Paint pixels with an id, over whatever is there; 0 is background. */
function paint(scene: Scene, id: number, mask: readonly [number, number, number][]): Outcome {
  if (!mask.length) throw new InputError("mask is empty, expected one pixel or more to paint");
  const change = Change.fromRuns(scene.labels, mask.map((run) => [...run, id]));
  const left = new Set(change.after.data);
  const gone = [...new Set(change.before.data)].filter((cell) => cell > 0 && !left.has(cell)).sort((a, b) => a - b);
  const lost = gone.filter((cell) => count(scene.labels.data, cell) === count(change.before.data, cell));
  const notes = lost.length ? [`painted over all of ${lost.length === 1 ? "cell" : "cells"} ${lost.join(", ")}`] : [];
  return { change, ids: id ? [id] : [], notes };
}

function count(ids: Int32Array, cell: number): number {
  return ids.reduce((sum, id) => (id === cell ? sum + 1 : sum), 0);
}
