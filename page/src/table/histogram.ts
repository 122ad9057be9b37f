/** Histogram of a column. */

export interface Histogram {
  /** Number of values in each bin; the last bin holds its upper edge. */
  counts: number[];
  low: number;
  high: number;
}

/** Return how many values lie in each of equally wide bins; null where there are no numbers. */
export function histogramOf(values: readonly unknown[], bins: number): Histogram | null {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return null;
  const counts = new Array<number>(bins).fill(0);
  const width = (high - low) / bins || 1;
  for (const value of values) {
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    counts[Math.min(Math.floor((value - low) / width), bins - 1)]++;
  }
  return { counts, low, high };
}
