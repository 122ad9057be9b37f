/** Add a cell by clicks, a box or an outline, on pixels that are free: those of background. */
import type { Edit, Point } from "../backend";
import { fillRing } from "../measuring/filling";
import { InputError } from "../numerics/errors";
import { medianDiameter } from "../numerics/labels";
import { cut, roundEven, wholeOf, type Mask, type Window } from "../numerics/plane";
import { Change } from "./change";
import { divide } from "./dividing";
import { grow, within, type Pixel } from "./growing";
import { maskOf, type Outcome, type Scene } from "./scene";

export type Add = Extract<Edit, { edit: "add" }>;

const USUAL_DIAMETER = 30; // of a cell in pixels, where the image has none to compare with
const REACH = 3; // pixels beyond the clicks that a new cell may reach, as a multiple of the median diameter

interface Drawn {
  window: Window;
  cell: Mask;
  notes: string[];
}

export function add(scene: Scene, edit: Add): Outcome {
  check(edit);
  const { window, cell, notes } = drawCell(scene, edit);
  if (!cell.data.some((inside) => inside)) {
    throw new InputError("there is no background where the cell should be: split, merge or paint what is there");
  }
  const part = cut(scene.labels, window);
  const data = part.data.map((id, at) => (cell.data[at] ? scene.nextId : id));
  return { change: Change.of(scene.labels, window, { ...part, data }), ids: [scene.nextId], notes };
}

function check({ points = [], outside = [], box, outline = [], level }: Add): void {
  if (Number(points.length > 0) + Number(Boolean(box)) + Number(outline.length > 0) !== 1) {
    throw new InputError("add needs points, a box or an outline, expected one of them");
  }
  if (outside.length && !points.length) throw new InputError("outside goes with points only: leave it out");
  if (outline.length && (outline.length < 3 || level !== undefined)) {
    throw new InputError("outline needs three corners or more, and has no level");
  }
  if (level !== undefined && !(level >= 0 && level <= 1)) {
    throw new InputError(`level: expected a number from 0 to 1, not ${level}`);
  }
}

function drawCell(scene: Scene, edit: Add): Drawn {
  const level = edit.level ?? null;
  if (edit.outline?.length) return outlined(scene, edit.outline);
  if (edit.box) return boxed(scene, edit.box, level);
  return clicked(scene, edit.points ?? [], edit.outside ?? [], level);
}

function outlined(scene: Scene, outline: readonly Point[]): Drawn {
  const ring = outline.map(([row, column]): [number, number] => [column + 0.5, row + 0.5]);
  const inside = fillRing(ring, scene.labels.height, scene.labels.width);
  return { window: wholeOf(scene.labels), cell: within(inside, maskOf(scene.labels, (id) => id === 0)), notes: [] };
}

function boxed(scene: Scene, [one, other]: [Point, Point], level: number | null): Drawn {
  const [first, last] = [Math.min, Math.max].map((pick) => {
    return scene.pixel([pick(one[0], other[0]), pick(one[1], other[1])], "box");
  });
  const window = { top: first[0], bottom: last[0] + 1, left: first[1], right: last[1] + 1 };
  const free = maskOf(cut(scene.labels, window), (id) => id === 0);
  if (!free.data.some((is) => is)) return { window, cell: free, notes: [] };
  const ellipse = within(ellipseIn(free.height, free.width), free);
  const drawn = ellipse.data.some((is) => is);
  if (!scene.map || !drawn) {
    return { window, cell: drawn ? ellipse : free, notes: ["without a map, the cell is an ellipse"] };
  }
  const heights = cut(scene.map, window);
  let highest = -1;
  ellipse.data.forEach((inside, at) => {
    if (inside && (highest < 0 || heights.data[at] > heights.data[highest])) highest = at;
  });
  const grown = grow(free, heights, [[Math.floor(highest / free.width), highest % free.width]], level);
  if (grown) return { window, cell: grown, notes: [] };
  return { window, cell: ellipse, notes: ["the map shows no cell there: the cell is an ellipse"] };
}

function ellipseIn(height: number, width: number): Mask {
  const along = (at: number, side: number): number => {
    if (side === 1) return 0;
    return at === side - 1 ? 1 : at * (2 / (side - 1)) - 1;
  };
  const data = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      data[y * width + x] = along(y, height) ** 2 + along(x, width) ** 2 <= 1 ? 1 : 0;
    }
  }
  return { height, width, data };
}

function clicked(scene: Scene, points: readonly Point[], outside: readonly Point[], level: number | null): Drawn {
  const clicks = points.map((point, number) => scene.pixel(point, `points[${number}]`));
  const others = outside.map((point, number) => scene.pixel(point, `outside[${number}]`));
  clicks.forEach((click, number) => {
    const there = scene.idAt(click);
    if (there === 0) return;
    throw new InputError(
      `points[${number}] lies in cell ${there}, expected background: split the cell, or delete it first`,
    );
  });
  return flooded(scene, clicks, others, level);
}

/** Grow a cell over the map, or without one draw a disk. */
function flooded(scene: Scene, clicks: Pixel[], others: Pixel[], level: number | null): Drawn {
  const typical = medianDiameter(scene.labels);
  const diameter = Number.isNaN(typical) ? USUAL_DIAMETER : typical;
  const window = around(clicks, Math.max(USUAL_DIAMETER, REACH * diameter), scene);
  const free = maskOf(cut(scene.labels, window), (id) => id === 0);
  const heights = scene.map && cut(scene.map, window);
  const shift = ([row, column]: Pixel): Pixel => [row - window.top, column - window.left];
  const inside = clicks.map(shift);
  let cell = heights && grow(free, heights, inside, level);
  const notes: string[] = [];
  if (!cell) {
    cell = within(disks(free.height, free.width, inside, diameter / 2), free);
    notes.push(`the map shows no cell there: the cell is a disk of ${roundEven(diameter)} px`);
  }
  const grown = cell;
  const left = others.map(shift).filter((pixel) => {
    return isIn(pixel, grown) && !inside.some(([row, column]) => row === pixel[0] && column === pixel[1]);
  });
  if (left.length) cell = maskOf(divide(cell, heights, [inside, left]), (id) => id === 1);
  return { window, cell, notes };
}

/** Return the window that reaches that many pixels beyond some. */
function around(pixels: readonly Pixel[], reach: number, { labels }: Scene): Window {
  const [rows, columns] = [0, 1].map((axis) => pixels.map((pixel) => pixel[axis]));
  const first = (places: number[]): number => Math.max(0, Math.trunc(Math.min(...places) - reach));
  const stop = (places: number[], side: number): number => {
    return Math.min(side, Math.trunc(Math.max(...places) + reach) + 1);
  };
  return {
    top: first(rows),
    bottom: stop(rows, labels.height),
    left: first(columns),
    right: stop(columns, labels.width),
  };
}

function disks(height: number, width: number, centres: readonly Pixel[], radius: number): Mask {
  const limit = Math.max(radius, 1) ** 2;
  const data = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const inside = centres.some(([row, column]) => (y - row) ** 2 + (x - column) ** 2 <= limit);
      data[y * width + x] = inside ? 1 : 0;
    }
  }
  return { height, width, data };
}

function isIn([row, column]: Pixel, mask: Mask): boolean {
  const inside = row >= 0 && row < mask.height && column >= 0 && column < mask.width;
  return inside && mask.data[row * mask.width + column] === 1;
}
