/**
 * Estimate how large cells are from two small views of an image, and choose the scale to segment it at.
 *
 * The rules and numbers are those of `dinocell.inference.autoscale`, which explains them: cells that come out
 * alike in a view at a third of the size and in one at half of that are large, and the image shrinks, unless tiles
 * at full size show surer, smaller ones.
 */
import { cellConfidence, type ConfidenceWeights } from "../measuring/confidence";
import { cellAreas } from "./labels";
import type { DiameterRange } from "./model";
import { median, roundEven, type DistanceMap, type Labels, type Window } from "./plane";
import { distanceToLabels } from "./watershed";

const FINEST = 0.35; // zoom of the finer view, at most
const SEEN = 24; // diameter, in pixels of the finer view, of the largest cells that the model is best at
const LEAST = 5; // cells of a smaller diameter, in pixels of the view, are not looked at
const FEWEST = 3; // a view of fewer cells shows nothing
const CLEAR = 0.25; // a view whose map is fainter shows nothing: of its mean, weighted by itself
const AGREEMENT = 1.6; // diameters in two views agree if they differ by this factor at most
const BEYOND = 1.15; // share of the largest trained diameter beyond which images shrink
const TILES = 4; // seen at full size before an image is shrunk, at most
const TILE = 256; // their side in pixels
const NESTED = 3; // cells of the tiles are others than those of the views if they are smaller by this factor
const INSIDE = 0.7; // too large cells are brought to this share of the largest diameter that the model is best at
const CLEARER = 0.8; // the finer view is taken unless it is fainter than this share of the coarser one
const PER_OCTAVE = 8; // bins of diameters, from 1 px
const BINS = 12 * PER_OCTAVE;
const THRESHOLDS = { cells_max_threshold: 0.5, cell_fill_threshold: 0.09, merge: 0.6, regrow: true };

/** Sums over a view: of the map and its squares, of cells and their confidences, and diameters by diameter. */
export interface Sizes {
  total: number;
  squares: number;
  count: number;
  confidence: number;
  diameters: Float64Array;
}

/** Return the zooms of the views of an image, the finer one first; none where no sizes are known. */
export function viewZooms(ranges: Iterable<DiameterRange | null>): number[] {
  const largest = [...ranges].flatMap((best) => (best ? [best[1]] : []));
  if (!largest.length) return [];
  const zoom = Math.min(FINEST, SEEN / Math.min(...largest));
  return [zoom, zoom / 2];
}

/** Find the cells in a view of an image, and add up what their size is estimated from. */
export function weighView(view: DistanceMap, weights: ConfidenceWeights): Sizes {
  const { labels, diameters } = findCells(view);
  const confidences = cellConfidence(labels, view, weights);
  const sizes = noSizes();
  for (let i = 0; i < view.data.length; i++) {
    sizes.total += view.data[i];
    sizes.squares += Math.fround(view.data[i] * view.data[i]);
  }
  diameters.forEach((diameter, number) => {
    if (diameter < LEAST) return;
    sizes.count++;
    sizes.confidence += confidences[number];
    sizes.diameters[Math.min(Math.floor(PER_OCTAVE * Math.log2(diameter)), BINS - 1)] += diameter;
  });
  return sizes;
}

export function noSizes(): Sizes {
  return { total: 0, squares: 0, count: 0, confidence: 0, diameters: new Float64Array(BINS) };
}

export function addSizes(one: Sizes, other: Sizes): Sizes {
  return {
    total: one.total + other.total,
    squares: one.squares + other.squares,
    count: one.count + other.count,
    confidence: one.confidence + other.confidence,
    diameters: one.diameters.map((sum, bin) => sum + other.diameters[bin]),
  };
}

/** Return whether an image could be shrunk, by its coarser view: if not, it needs no finer one. */
export function mayShrink(
  view: DistanceMap,
  zoom: number,
  best: DiameterRange | null,
  weights: ConfidenceWeights,
): boolean {
  return best !== null && (AGREEMENT * medianOf(weighView(view, weights))) / zoom > BEYOND * best[1];
}

function findCells(view: DistanceMap): { labels: Labels; diameters: Float64Array } {
  const labels = distanceToLabels(view, THRESHOLDS);
  const areas = cellAreas(labels).subarray(1);
  return { labels, diameters: areas.map((area) => 2 * Math.sqrt(area / Math.PI)) };
}

/**
 * Choose parts of an image to look at in full size: around the larger cells of a view.
 *
 * @param view Map of the finer view, at `zoom`.
 */
export function chooseTiles(view: DistanceMap, zoom: number, height: number, width: number): Window[] {
  const { labels, diameters } = findCells(view);
  const seen = diameters.filter((diameter) => diameter >= LEAST);
  if (!seen.length) return [];
  const least = median(seen);
  const larger: number[] = [];
  diameters.forEach((diameter, at) => {
    if (diameter >= LEAST && diameter >= least) larger.push(at + 1);
  });
  const count = Math.min(TILES, larger.length);
  const chosen = Array.from({ length: count }, (_, at) => {
    return larger[count > 1 ? roundEven((at * (larger.length - 1)) / (count - 1)) : 0];
  });
  return chosen.map((cell) => {
    const [row, column] = centreOf(labels, cell).map((place) => place / zoom);
    const [top, left] = [startOf(row, height), startOf(column, width)];
    return { top, bottom: Math.min(top + TILE, height), left, right: Math.min(left + TILE, width) };
  });
}

function startOf(centre: number, side: number): number {
  return Math.trunc(Math.min(Math.max(0, centre - TILE / 2), Math.max(0, side - TILE)));
}

function centreOf(labels: Labels, cell: number): [number, number] {
  let [rows, columns, count] = [0, 0, 0];
  labels.data.forEach((id, at) => {
    if (id !== cell) return;
    rows += Math.floor(at / labels.width);
    columns += at % labels.width;
    count++;
  });
  return [rows / count, columns / count];
}

/** Estimate the diameter of cells in the image; null where views do not agree, or tiles show surer, smaller ones. */
export function estimateDiameter(views: [Sizes, Sizes], tiles: Sizes, zooms: number[]): number | null {
  const [fine, coarse] = views.map((view, at) => ({ clear: clarity(view), found: medianOf(view) / zooms[at] }));
  const ratio = fine.found / coarse.found;
  if (!(ratio >= 1 / AGREEMENT && ratio <= AGREEMENT)) return null; // NaN, too
  const found = fine.clear >= CLEARER * coarse.clear ? fine.found : coarse.found;
  const areOthers = medianOf(tiles) * NESTED < found; // false for NaN, so for tiles that show nothing
  return areOthers && surety(tiles) > surety(views[0]) ? null : found;
}

function clarity(view: Sizes): number {
  return view.total > 0 ? view.squares / view.total : 0;
}

function surety(view: Sizes): number {
  return view.confidence / view.count;
}

/** Return the median of the diameters in a view, weighed so that specks count little; NaN for too little. */
function medianOf(view: Sizes): number {
  if (view.count < FEWEST || clarity(view) < CLEAR) return NaN;
  let sum = 0;
  const below = view.diameters.map((part) => (sum += part));
  const at = below.findIndex((part) => part >= sum / 2);
  const within = 1 - (below[at] - sum / 2) / view.diameters[at];
  return 2 ** ((at + within) / PER_OCTAVE);
}

/** Choose the scale for cells of an estimated diameter: at most 1. */
export function chooseScale(diameter: number | null, best: DiameterRange | null): number {
  if (diameter === null || best === null || diameter <= BEYOND * best[1]) return 1;
  return Math.max(best[0], INSIDE * best[1]) / diameter;
}
