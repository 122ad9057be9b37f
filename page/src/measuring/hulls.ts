/** Pixels of the convex hull of a cell, in whole numbers throughout. */
import type { CellRuns } from "./runs";

/**
 * Count the pixels of a cell's convex hull.
 *
 * The hull is that of the middles of all sides of the cell's pixels; a pixel whose centre lies in it or on its edge
 * counts, as in scikit-image's `convex_hull_image`. A cell in several pieces has one hull around all of them.
 */
export function convexArea(runs: CellRuns): number {
  const rows: number[] = [];
  const left: number[] = [];
  const right: number[] = [];
  runs.rows.forEach((row, at) => {
    const last = rows.length - 1;
    if (rows[last] === row) {
      right[last] = runs.right[at];
      return;
    }
    rows.push(row);
    left.push(runs.left[at]);
    right.push(runs.right[at]);
  });
  const height = rows[rows.length - 1] - rows[0] + 1;
  // The right side is the left side of the mirror image: ⌊r⌋ is −⌈−r⌉.
  const mirrored = right.map((column) => -column);
  return height - sumLeftEnds(rows, left) - sumLeftEnds(rows, mirrored);
}

/** Add up, over all rows of the hull, the columns of the first pixels in it, given those of the cell. */
function sumLeftEnds(rows: number[], left: number[]): number {
  // Positions are doubled, so that the middle of a pixel's side is a whole number.
  const ys: number[] = [];
  const xs: number[] = [];
  rows.forEach((row, at) => {
    for (const [y, x] of [
      [2 * row - 1, 2 * left[at]],
      [2 * row, 2 * left[at] - 1],
      [2 * row + 1, 2 * left[at]],
    ]) {
      const last = ys.length - 1;
      if (ys[last] === y) {
        xs[last] = Math.min(xs[last], x); // the lower side of a pixel and the upper side of the next row's
        if (xs[last] === x) bendOutward(ys, xs);
        continue;
      }
      ys.push(y);
      xs.push(x);
      bendOutward(ys, xs);
    }
  });
  let sum = 0;
  for (let i = 0; i + 1 < ys.length; i++) {
    const [height, width] = [ys[i + 1] - ys[i], xs[i + 1] - xs[i]];
    // Centres of rows are even: those from the upper point on, the lower one's not included.
    for (let row = Math.ceil(ys[i] / 2); row < Math.ceil(ys[i + 1] / 2); row++) {
      sum += Math.ceil((xs[i] * height + width * (2 * row - ys[i])) / (2 * height));
    }
  }
  return sum;
}

/** Drop the points before the last one that are not corners of the hull on its left. */
function bendOutward(ys: number[], xs: number[]): void {
  for (let last = ys.length - 1; last >= 2; last--) {
    const [by, bx] = [ys[last - 1] - ys[last - 2], xs[last - 1] - xs[last - 2]];
    const [ay, ax] = [ys[last] - ys[last - 1], xs[last] - xs[last - 1]];
    if (bx * ay < ax * by) return;
    ys.splice(last - 1, 1);
    xs.splice(last - 1, 1);
  }
}
