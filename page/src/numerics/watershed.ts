/** Distance map to labels: a marker-controlled watershed, with split cells joined again. */
import { distanceToOutside, nearestLabelled } from "./distance";
import { flood } from "./flooding";
import { fillHoles, maxId, numberPieces, renumber } from "./labels";
import { cut, marked, paste, zeros, type DistanceMap, type Labels, type Window } from "./plane";
import type { Thresholds } from "./thresholds";

/** Half of the 8 neighbours (row, column): the other half are the same pairs seen from the other side. */
const NEIGHBOURS = [
  [0, 1],
  [1, 0],
  [1, 1],
  [1, -1],
];

/**
 * Turn a distance map into cells 1…N, in row-major order of their first marker pixel.
 *
 * Pixels above `cells_max_threshold` form markers (8-connected); the map is flooded from them downhill over the
 * pixels above `cell_fill_threshold`. Regions without a marker are dropped.
 *
 * @param fill Whether background enclosed by one cell becomes part of it.
 */
export function distanceToLabels(distance: DistanceMap, thresholds: Thresholds, fill = false): Labels {
  const { height, width, data } = distance;
  // Thresholds are compared in the map's own precision.
  const [highest, lowest] = [Math.fround(thresholds.cells_max_threshold), Math.fround(thresholds.cell_fill_threshold)];
  const above = marked(data, (value) => value > highest);
  const markers = numberPieces({ height, width, data: above }, true);
  if (maxId(markers) === 0) return zeros(height, width);
  const mask = marked(data, (value) => value > lowest);
  let labels = joinSplitCells(flood(distance, markers, mask), distance, thresholds.merge);
  if (thresholds.regrow) labels = growBoundaries(labels, boundaryWidths(labels, thresholds.cell_fill_threshold));
  if (fill) fillCells(labels);
  return renumber(labels, 1);
}

/** Join basins, that is give them one id, when the saddle between them is high relative to their peaks. */
function joinSplitCells(labels: Labels, distance: DistanceMap, merge: number): Labels {
  const peaks = peaksOf(distance.data, labels);
  const share = Math.fround(merge);
  const names = Int32Array.from(peaks, (_, id) => id);
  const nameOf = (id: number): number => {
    while (names[id] !== id) id = names[id] = names[names[id]];
    return id;
  };
  for (const [pair, saddle] of saddlesOf(labels, distance, peaks.length)) {
    const first = Math.floor(pair / peaks.length);
    const second = pair % peaks.length;
    if (!(saddle >= Math.fround(share * Math.min(peaks[first], peaks[second])))) continue;
    const [a, b] = [nameOf(first), nameOf(second)];
    names[Math.max(a, b)] = Math.min(a, b); // a group is named by its lowest id
  }
  const named = names.map(nameOf);
  return { ...labels, data: labels.data.map((id) => named[id]) };
}

/** Find the highest value in every cell, by id; 0 for the background. */
function peaksOf(values: Float32Array, labels: Labels): Float32Array {
  const peaks = new Float32Array(maxId(labels) + 1);
  for (let i = 0; i < values.length; i++) {
    const id = labels.data[i];
    if (values[i] > peaks[id]) peaks[id] = values[i];
  }
  peaks[0] = 0;
  return peaks;
}

/** Find the height of the pass between every two basins that touch, by `first * count + second`. */
function saddlesOf(labels: Labels, distance: DistanceMap, count: number): Map<number, number> {
  const { height, width, data } = labels;
  const saddles = new Map<number, number>();
  for (const [down, right] of NEIGHBOURS) {
    for (let y = 0; y + down < height; y++) {
      for (let x = Math.max(0, -right); x < width - Math.max(0, right); x++) {
        const here = y * width + x;
        const there = here + down * width + right;
        const a = data[here];
        const b = data[there];
        if (a === b || !a || !b) continue;
        const pair = Math.min(a, b) * count + Math.max(a, b);
        const pass = Math.min(distance.data[here], distance.data[there]);
        const known = saddles.get(pair);
        if (known === undefined || pass > known) saddles.set(pair, pass);
      }
    }
  }
  return saddles;
}

/**
 * Compute the width of the boundary that the threshold cut off every cell, in whole pixels by id.
 *
 * A cell of inner radius R lost the pixels at distance 1…⌊tR⌋ from its outside. Where two R fit, the larger is
 * taken.
 */
export function boundaryWidths(labels: Labels, cellFillThreshold: number): Float32Array {
  const f = Math.fround;
  const limit = f(Math.hypot(labels.height, labels.width)); // a cell that fills the image has no outside
  const radii = peaksOf(distanceToOutside(labels).data.map((value) => Math.min(value, limit)), labels);
  if (cellFillThreshold >= 1) return new Float32Array(radii.length);
  const [cutOff, left] = [f(cellFillThreshold), f(1 - cellFillThreshold)];
  return radii.map((radius) => Math.floor(f(f(f(cutOff * radius) / left) + f(1e-4))));
}

/** Grow every cell by the boundary that it lost, into background that is nearer to it than to others. */
export function growBoundaries(labels: Labels, widths: Float32Array): Labels {
  if (!widths.some((width) => width > 0)) return labels;
  const nearest = nearestLabelled(labels);
  const data = labels.data.map((id, at) => {
    const candidate = labels.data[nearest.place[at]];
    return nearest.distance[at] <= widths[candidate] ? candidate : id;
  });
  return { ...labels, data };
}

/** Fill the holes of every cell, in place. */
function fillCells(labels: Labels): void {
  for (const [id, box] of boxesOf(labels)) {
    const part = cut(labels, box);
    const mask = marked(part.data, (value) => value === id);
    const filled = fillHoles({ height: part.height, width: part.width, data: mask });
    const data = part.data.map((value, at) => (value === 0 && filled.data[at] ? id : value));
    paste(labels, box, { ...part, data });
  }
}

/** Find the bounding box of every cell, by rising id. */
function boxesOf(labels: Labels): [number, Window][] {
  const boxes = new Map<number, { top: number; bottom: number; left: number; right: number }>();
  for (let y = 0, at = 0; y < labels.height; y++) {
    for (let x = 0; x < labels.width; x++, at++) {
      const id = labels.data[at];
      if (id <= 0) continue;
      const box = boxes.get(id);
      if (!box) {
        boxes.set(id, { top: y, bottom: y + 1, left: x, right: x + 1 });
        continue;
      }
      box.bottom = y + 1;
      if (x < box.left) box.left = x;
      if (x >= box.right) box.right = x + 1;
    }
  }
  return [...boxes].sort((a, b) => a[0] - b[0]);
}
