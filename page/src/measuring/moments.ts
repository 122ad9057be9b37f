/** Size, place, extent and direction of a cell from sums over its runs, and perimeters from lines. */
import { roundEven, type Labels } from "../numerics/plane";
import type { CellRuns } from "./runs";

/** The ellipse with the same second moments as a cell. */
export interface Ellipse {
  eccentricity: number;
  /** Axes in pixels. */
  major: number;
  minor: number;
  /** Degrees in [0, 180), counterclockwise as displayed; 0 lies along X. */
  orientation: number;
}

export interface Extent {
  area: number;
  /** Of the rows and of the columns of its pixels. */
  sums: [number, number];
  /** First row, first column, row and column after the last. */
  box: [number, number, number, number];
}

export function findExtent(runs: CellRuns): Extent {
  let [area, sumY, sumX] = [0, 0, 0];
  runs.rows.forEach((row, at) => {
    const length = runs.right[at] - runs.left[at] + 1;
    area += length;
    sumY += row * length;
    sumX += ((runs.left[at] + runs.right[at]) * length) / 2;
  });
  const first = runs.left.reduce((least, column) => Math.min(least, column), Infinity);
  const last = runs.right.reduce((most, column) => Math.max(most, column), 0);
  return { area, sums: [sumY, sumX], box: [runs.rows[0], first, runs.rows[runs.rows.length - 1] + 1, last + 1] };
}

/** Measure the ellipse of a cell; sums of squares are whole numbers, taken from the pixel nearest to the centroid. */
export function measureEllipse(runs: CellRuns, { area, sums }: Extent): Ellipse {
  const [middleY, middleX] = sums.map((sum) => roundEven(sum / area));
  let [sumY, sumX, squareY, squareX, product] = [0, 0, 0, 0, 0];
  runs.rows.forEach((row, at) => {
    const y = row - middleY;
    const left = runs.left[at] - middleX;
    const length = runs.right[at] - runs.left[at] + 1;
    const pairs = (length * (length - 1)) / 2;
    const along = length * left + pairs; // sum of x over the run
    sumY += length * y;
    sumX += along;
    squareY += length * y ** 2;
    squareX += length * left ** 2 + 2 * left * pairs + (pairs * (2 * length - 1)) / 3;
    product += along * y;
  });
  const variance = (squareX + squareY - (sumX ** 2 + sumY ** 2) / area) / area;
  const difference = (squareX - squareY - ((sumX - sumY) * (sumX + sumY)) / area) / area;
  const covariance = (product - (sumX * sumY) / area) / area;
  // Eigenvalues of the matrix of second moments are (variance ± spread) / 2.
  const spread = Math.hypot(difference, 2 * covariance);
  const [larger, smaller] = [(variance + spread) / 2, Math.max(variance - spread, 0) / 2];
  let angle = Math.atan2(2 * covariance, -difference) / 2;
  if (difference === 0) angle = covariance > 0 ? Math.PI / 4 : -Math.PI / 4; // for cells as wide as high
  return {
    eccentricity: Math.sqrt(larger > 0 ? spread / larger : 0),
    major: 4 * Math.sqrt(larger),
    minor: 4 * Math.sqrt(smaller),
    orientation: ((((angle * 180) / Math.PI + 90) % 180) + 180) % 180,
  };
}

/** Steps (Y, X) along lines, and how far apart the lines through all pixels are. */
const DIRECTIONS = [
  [0, 1, 1],
  [1, 0, 1],
  [1, 1, Math.SQRT1_2],
  [1, -1, Math.SQRT1_2],
];

/**
 * Estimate the perimeters of cells in pixels by Crofton's formula, by id: from how often lines in 4 directions cross
 * their outlines; those of holes count.
 */
export function croftonPerimeters(labels: Labels, highest: number): Float64Array {
  const { height, width, data } = labels;
  const perimeters = new Float64Array(highest + 1);
  for (const [down, right, apart] of DIRECTIONS) {
    const pieces = new Float64Array(highest + 1);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const fromY = y - down;
        const fromX = x - right;
        const outside = fromY < 0 || fromX < 0 || fromX >= width;
        // A piece of a line begins at a pixel that has another cell or none behind it.
        if (data[at] !== (outside ? 0 : data[fromY * width + fromX])) pieces[data[at]]++;
      }
    }
    for (let id = 1; id <= highest; id++) perimeters[id] += (Math.PI / 4) * apart * pieces[id];
  }
  return perimeters;
}
