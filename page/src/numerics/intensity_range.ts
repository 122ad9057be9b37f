/** Range of gray values that 8 bits show, and the mapping of an image to 8 bits by it. */
import { InputError } from "./errors";
import { roundEven, type Numbers, type Plane } from "./plane";

/** An image with a larger share of NaN and infinite pixels is refused. */
const MAX_NONFINITE_SHARE = 0.5;

/** The gray values that become 0 and 255. */
export interface IntensityRange {
  bottom: number;
  top: number;
  /** The lowest finite value, which stands for NaN and infinite pixels. */
  lowest: number;
  /** Whether bottom and top are the minimum and the maximum, because both percentiles are equal. */
  extremes: boolean;
}

export function isFloat(data: Numbers): boolean {
  return data instanceof Float32Array || data instanceof Float64Array;
}

/** Return the finite values in rising order, as floats; all of them of integers. */
export function sortFinite(data: Numbers): Float64Array | Float32Array | Uint16Array | Uint8Array {
  if (data instanceof Uint8Array || data instanceof Uint16Array) return sortByCounting(data);
  const values = isFloat(data) ? (data as Float32Array).filter(Number.isFinite) : data;
  return Float64Array.from(values).sort();
}

function sortByCounting<T extends Uint8Array | Uint16Array>(data: T): T {
  const counts = new Uint32Array(2 ** (8 * data.BYTES_PER_ELEMENT));
  for (let i = 0; i < data.length; i++) counts[data[i]]++;
  const sorted = data.slice() as T;
  let at = 0;
  counts.forEach((count, value) => {
    sorted.fill(value, at, at + count);
    at += count;
  });
  return sorted;
}

/** Interpolate a percentile of sorted values, in the arithmetic of `numpy.percentile`. */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  const at = (sorted.length - 1) * (percent / 100);
  const below = Math.floor(at);
  const low = sorted[below];
  const high = sorted[Math.min(below + 1, sorted.length - 1)];
  const share = at - below;
  return share >= 0.5 ? high - (high - low) * (1 - share) : low + (high - low) * share;
}

/** Find the gray values that become 0 and 255: percentiles of the finite pixels. */
export function findRange(gray: Plane, low: number, high: number): IntensityRange {
  const sorted = sortFinite(gray.data);
  const share = 1 - sorted.length / gray.data.length;
  if (share > MAX_NONFINITE_SHARE) {
    throw new InputError(
      `${Math.round(share * 100)}% of the pixels are NaN or infinite, expected at most half: ` +
        "replace them before segmenting",
    );
  }
  const [bottom, top] = [percentile(sorted, low), percentile(sorted, high)];
  const [lowest, highest] = [sorted[0], sorted[sorted.length - 1]];
  if (bottom === top) return { bottom: lowest, top: highest, lowest, extremes: true };
  return { bottom, top, lowest, extremes: false };
}

/** Map a range of gray values to 0 to 255, and clip. */
export function toUint8(gray: Plane, range: IntensityRange): Plane<Uint8Array> {
  const { bottom, top, lowest } = range;
  const scaled = { height: gray.height, width: gray.width, data: new Uint8Array(gray.data.length) };
  if (top / 2 - bottom / 2 === 0) return scaled;
  // Extremes of up to 16 bits are pixels, and computed with in the precision of pixels.
  const single = range.extremes && gray.data.BYTES_PER_ELEMENT <= 2;
  const f = single ? Math.fround : (value: number): number => value;
  const span = f(f(top / 2) - f(bottom / 2));
  const map = (value: number): number => {
    const known = Number.isFinite(value) ? value : lowest;
    const clipped = known < bottom ? bottom : known > top ? top : known;
    return roundEven(f(f(f(f(clipped / 2) - f(bottom / 2)) / span) * 255));
  };
  const few = gray.data instanceof Uint8Array || gray.data instanceof Uint16Array;
  const levels = few ? 2 ** (8 * gray.data.BYTES_PER_ELEMENT) : 0;
  if (few && gray.data.length > levels) {
    const table = Uint8Array.from({ length: levels }, (_, value) => map(value));
    for (let i = 0; i < gray.data.length; i++) scaled.data[i] = table[gray.data[i]];
    return scaled;
  }
  for (let i = 0; i < gray.data.length; i++) scaled.data[i] = map(gray.data[i]);
  return scaled;
}
