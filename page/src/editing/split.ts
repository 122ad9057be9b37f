/** Split a cell by clicks, or cells by a line. */
import type { Edit, Point } from "../backend";
import { InputError } from "../numerics/errors";
import { cellAreas, maxId, numberPieces } from "../numerics/labels";
import { cut, type Labels, type Mask } from "../numerics/plane";
import { Change } from "./change";
import { divide, fillFromNearest } from "./dividing";
import type { Pixel } from "./growing";
import { drawLine } from "./line";
import { maskOf, type Outcome, type Scene } from "./scene";

export type Split = Extract<Edit, { edit: "split" }>;

const SPECK = 5; // pixels below which a piece that a line cut off is no cell, but goes to the nearest one
const FAR = 2 ** 14; // pixels beyond the image that a line may reach; farther points are brought back to there

export function split(scene: Scene, { points = [], line = [] }: Split): Outcome {
  if (points.length > 0 === line.length > 0) {
    throw new InputError("split needs points or a line, expected one of them");
  }
  if (points.length && (points.length < 2 || points.some((group) => !group.length))) {
    throw new InputError("points must be two clicks or more, one or more for every new cell");
  }
  if (line.length === 1) throw new InputError("line must have two corners or more");
  return points.length ? byPoints(scene, points) : byLine(scene, line);
}

function byPoints(scene: Scene, points: readonly Point[][]): Outcome {
  const groups = points.map((group, number) => group.map((point) => scene.pixel(point, `points[${number}]`)));
  const cell = cellOf(scene, groups);
  const window = scene.windowOf([cell], 1);
  const part = cut(scene.labels, window);
  const mask = maskOf(part, (id) => id === cell);
  const shifted = groups.map((group) => {
    return group.map(([row, column]): Pixel => [row - window.top, column - window.left]);
  });
  const pieces = divide(mask, scene.map && cut(scene.map, window), shifted);
  const ids = [cell, ...groups.slice(1).map((_, number) => scene.nextId + number)];
  const data = part.data.map((id, at) => (mask.data[at] ? ids[pieces.data[at] - 1] : id));
  return { change: Change.of(scene.labels, window, { ...part, data }), ids, notes: [] };
}

/** Return the cell that all clicks lie in. */
function cellOf(scene: Scene, groups: readonly Pixel[][]): number {
  const clicks = groups.flat();
  const found = [...new Set(clicks.map((click) => scene.idAt(click)))].sort((a, b) => a - b);
  if (found[0] <= 0) {
    throw new InputError("points lie outside of cells, expected all of them in the cell to split");
  }
  if (found.length > 1) {
    throw new InputError(`points lie in cells [${found.join(", ")}], expected all of them in one`);
  }
  if (new Set(clicks.map(String)).size < clicks.length) {
    throw new InputError("points name a pixel twice, expected clicks at different places");
  }
  return found[0];
}

function byLine(scene: Scene, line: readonly Point[]): Outcome {
  const { height, width } = scene.labels;
  const drawn = drawLine(line.map((point) => cornerOf(point, Math.max(height, width))), height, width);
  const ids = new Set<number>();
  scene.labels.data.forEach((id, at) => {
    if (id > 0 && drawn.data[at]) ids.add(id);
  });
  const crossed = [...ids].sort((a, b) => a - b);
  if (!crossed.length) {
    throw new InputError("line crosses no cell, expected one to be cut: draw it across a cell");
  }
  const window = scene.windowOf(crossed, 1);
  const part = cut(scene.labels, window);
  const after = { ...part, data: part.data.slice() };
  const made: number[] = [];
  let next = scene.nextId;
  for (const cell of crossed) {
    const pieces = cutBy(maskOf(part, (id) => id === cell), cut(drawn, window));
    const count = maxId(pieces);
    if (count < 2) continue;
    const names = [cell, ...Array.from({ length: count - 1 }, () => next++)];
    made.push(...names);
    pieces.data.forEach((piece, at) => {
      if (piece > 0) after.data[at] = names[piece - 1];
    });
  }
  if (!made.length) {
    throw new InputError(
      `line does not cut cell ${crossed[0]} in two: draw it from outside the cell to its other side`,
    );
  }
  return { change: Change.of(scene.labels, window, after), ids: made, notes: [] };
}

function cornerOf([row, column]: Point, largest: number): [number, number] {
  const clip = (value: number): number => Math.floor(Math.min(Math.max(value, -FAR), largest + FAR) + 0.5);
  return [clip(column), clip(row)];
}

/**
 * Return the numbers of the pieces that a line cuts a mask into, the largest first; 1 if it does not.
 *
 * The pixels of the line, and specks beside it, go to the nearest piece.
 */
function cutBy(mask: Mask, line: Mask): Labels {
  const pieces = piecesOf({ ...mask, data: mask.data.map((inside, at) => (inside && !line.data[at] ? 1 : 0)) });
  if (maxId(pieces) <= maxId(piecesOf(mask))) return { ...mask, data: new Int32Array(mask.data) };
  return fillFromNearest(pieces, mask);
}

/** Return the numbers of the pieces of a mask that touch along edges, the largest first; 0 for specks. */
function piecesOf(mask: Mask): Labels {
  const pieces = numberPieces(mask, false);
  const areas = cellAreas(pieces);
  const order = [...areas.keys()].slice(1).sort((a, b) => areas[b] - areas[a]); // stable
  const names = new Int32Array(areas.length);
  order.filter((piece) => areas[piece] >= SPECK).forEach((piece, at) => (names[piece] = at + 1));
  return { ...pieces, data: pieces.data.map((piece) => names[piece]) };
}
