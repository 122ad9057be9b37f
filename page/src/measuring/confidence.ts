/**
 * Confidence in a cell: how well the hill in the distance map fits the cell that was cut out of it.
 *
 * Three numbers a cell describe how far the map is from a perfect one, and a logistic curve turns them into one in
 * [0, 1]; see `dinocell.measure.confidence`.
 */
import { distanceToOutside } from "../numerics/distance";
import { cellAreas } from "../numerics/labels";
import type { DistanceMap, Labels } from "../numerics/plane";

/** Numbers that `dinocell` fits to the weights of a model it ships; an exported page carries them. */
export interface ConfidenceWeights {
  intercept: number;
  agreement: number;
  spill: number;
  saddle: number;
  /** Below it, the mean over an image's cells is low. */
  low_mean: number;
}

/** Agreement counts within 1 − this and this only, as its logit grows without bound. */
const CERTAIN = 0.99;

/** Estimate for every cell 1…N how sure it is that it matches a true cell at an IoU of 0.5: float32 (N,). */
export function cellConfidence(labels: Labels, map: DistanceMap, weights: ConfidenceWeights): Float32Array {
  const count = cellAreas(labels).length;
  const agreement = agreements(labels, map, count);
  const { spill, pass, peak } = boundaries(labels, map, count);
  const confidence = new Float32Array(count - 1);
  for (let id = 1; id < count; id++) {
    const agreed = Math.min(Math.max(agreement[id], 1 - CERTAIN), CERTAIN);
    const saddle = peak[id] > 0 ? pass[id] / peak[id] : 0;
    const logit = Math.log(agreed / (1 - agreed));
    const score =
      weights.intercept + weights.agreement * logit + weights.spill * spill[id] + weights.saddle * saddle;
    confidence[id - 1] = 1 / (1 + Math.exp(-score));
  }
  return confidence;
}

/** Compare volumes with the perfect hill: distance to the cell's boundary over its largest distance. */
function agreements(labels: Labels, map: DistanceMap, count: number): Float64Array {
  const limit = Math.fround(Math.hypot(labels.height, labels.width)); // a cell that fills the image has no boundary
  const away = distanceToOutside(labels).data.map((value) => Math.min(value, limit));
  const farthest = new Float64Array(count);
  const ids = labels.data;
  for (let i = 0; i < ids.length; i++) farthest[ids[i]] = Math.max(farthest[ids[i]], away[i]);
  const shared = new Float64Array(count);
  const together = new Float64Array(count);
  for (let i = 0; i < ids.length; i++) {
    if (!ids[i]) continue;
    const perfect = away[i] / farthest[ids[i]];
    shared[ids[i]] += Math.min(map.data[i], perfect);
    together[ids[i]] += Math.max(map.data[i], perfect);
  }
  return shared.map((volume, id) => volume / together[id]);
}

interface Boundaries {
  /** Mean of the map over the pixels outside that the boundary touches, by id. */
  spill: Float64Array;
  /** Height of the highest pass to a cell that it touches. */
  pass: Float64Array;
  /** Highest value of the map in it. */
  peak: Float64Array;
}

function boundaries(labels: Labels, map: DistanceMap, count: number): Boundaries {
  const { height, width, data } = labels;
  const [spill, pairs, pass, peak] = [1, 2, 3, 4].map(() => new Float64Array(count));
  for (let y = 0, here = 0; y < height; y++) {
    for (let x = 0; x < width; x++, here++) {
      const own = data[here];
      const value = map.data[here];
      if (value > peak[own]) peak[own] = value;
      for (let way = 0; way < 4; way++) {
        // Right, below, below right, below left: the other four are the same pairs.
        const down = way > 0 ? 1 : 0;
        const right = way === 0 || way === 2 ? 1 : way === 3 ? -1 : 0;
        if (y + down >= height || x + right < 0 || x + right >= width) continue;
        const there = here + down * width + right;
        const other = data[there];
        if (own === other) continue;
        spill[own] += map.data[there];
        spill[other] += value;
        pairs[own]++;
        pairs[other]++;
        if (!own || !other) continue;
        const low = Math.min(value, map.data[there]);
        if (low > pass[own]) pass[own] = low;
        if (low > pass[other]) pass[other] = low;
      }
    }
  }
  return { spill: spill.map((sum, id) => sum / Math.max(pairs[id], 1)), pass, peak };
}
