/** Grow a cell from clicks over free pixels: the hill of the distance map that the clicks lie on. */
import { fillHoles, numberPieces } from "../numerics/labels";
import type { DistanceMap, Mask } from "../numerics/plane";
import { boundaryWidths, distanceToLabels, growBoundaries } from "../numerics/watershed";

/** Row and column. */
export type Pixel = [number, number];

const LEVEL = 0.3; // default level, as a share of the highest value near the clicks
const NEAR = 2; // pixels around a click within which a hill may be highest: a hand is not exact
const MARKER = 0.6; // hills above this share of the clicked one are cells of their own
const MERGE = 0.7; // saddles above this share of the lower hill do not part two hills
const FLAT = 0.02; // the map shows nothing where it is below this

/**
 * Grow a cell from clicks; null where the map shows nothing.
 *
 * @param free What it may cover; the clicks are.
 * @param clicks Rows and columns.
 * @param level Height down to which it grows; by default a share of the highest value near the clicks. A click below
 *   it lowers it, so that every click is in it.
 */
export function grow(free: Mask, heights: DistanceMap, clicks: readonly Pixel[], level: number | null): Mask | null {
  const { height, width } = free;
  const peak = Math.max(...clicks.map((click) => highestNear(heights, click)));
  if (peak < FLAT) return null;
  const places = clicks.map(([row, column]) => row * width + column);
  const lowest = Math.min(...places.map((at) => heights.data[at]));
  const least = Math.min(level ?? LEVEL * peak, lowest);
  const compared = Math.fround(least);
  const above = free.data.map((is, at) => (is && heights.data[at] >= compared ? 1 : 0));
  const pieces = numberPieces({ height, width, data: above }, false);
  const clicked = new Set(places.map((at) => pieces.data[at]));
  const reached = pieces.data.map((piece) => (clicked.has(piece) ? 1 : 0));
  const hills = distanceToLabels(
    { height, width, data: heights.data.map((value, at) => (reached[at] ? value : 0)) },
    { cells_max_threshold: Math.min(MARKER * peak, 1), cell_fill_threshold: 0, merge: MERGE, regrow: false },
  );
  // A click on no hill takes all of what is reached that no hill has.
  const own = new Set(places.map((at) => hills.data[at]));
  const cell = { height, width, data: hills.data.map((hill, at) => (reached[at] && own.has(hill) ? 1 : 0)) };
  // Grow back by the boundary that the level cut off, as the watershed does.
  const grown = growBoundaries(cell, boundaryWidths(cell, least / peak));
  return within(fillHoles({ height, width, data: new Uint8Array(grown.data) }), free);
}

/** Return the pixels that are in both masks. */
export function within(one: Mask, other: Mask): Mask {
  return { ...one, data: one.data.map((inside, at) => inside & other.data[at]) };
}

function highestNear({ height, width, data }: DistanceMap, [row, column]: Pixel): number {
  let highest = -Infinity;
  for (let y = Math.max(0, row - NEAR); y < Math.min(height, row + NEAR + 1); y++) {
    for (let x = Math.max(0, column - NEAR); x < Math.min(width, column + NEAR + 1); x++) {
      highest = Math.max(highest, data[y * width + x]);
    }
  }
  return highest;
}
