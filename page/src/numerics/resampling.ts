/**
 * Planes in another size: averaged where they shrink, bilinear where they grow.
 *
 * The arithmetic is OpenCV's on x86, as `dinocell.preprocess.resampling` writes it out: uint8 comes out equal,
 * float32 within rounding of sums.
 */
import { InputError } from "./errors";
import { emptyLike, roundEven, type Plane, type Window } from "./plane";

type Sampled = Uint8Array | Float32Array;

/** Height and width. */
export type Shape = [number, number];

/** Return the shape after resizing by `scale`, at least one pixel a side. */
export function scaledShape([height, width]: Shape, scale: number): Shape {
  if (!(Number.isFinite(scale) && scale > 0)) {
    throw new InputError(`scale is ${scale}, expected a positive number`);
  }
  return [Math.max(1, roundEven(height * scale)), Math.max(1, roundEven(width * scale))];
}

/** Return where the field of an image lies after resizing by `scale`: as large as it becomes by itself. */
export function scaledField(field: Window, shape: Shape, scale: number): Window {
  const whole = scaledShape(shape, scale);
  const own = scaledShape([field.bottom - field.top, field.right - field.left], scale);
  const top = Math.min(roundEven(field.top * scale), whole[0] - own[0]);
  const left = Math.min(roundEven(field.left * scale), whole[1] - own[1]);
  return { top, bottom: top + own[0], left, right: left + own[1] };
}

/** Resize a plane; the plane itself where the shape is the same. */
export function resize<T extends Sampled>(plane: Plane<T>, [height, width]: Shape): Plane<T> {
  if (plane.height === height && plane.width === width) return plane;
  if (height * width >= plane.height * plane.width) {
    return interpolate(plane, bilinear(plane.height, height), bilinear(plane.width, width));
  }
  if (height > plane.height || width > plane.width) {
    return interpolate(plane, mixed(plane.height, height), mixed(plane.width, width));
  }
  if (plane.height % height === 0 && plane.width % width === 0) {
    return averageWhole(plane, plane.height / height, plane.width / width);
  }
  return average(plane, areaWeights(plane.height, height), areaWeights(plane.width, width));
}

/** The two source pixels of each pixel along an axis, and the upper one's share. */
interface Neighbours {
  lower: Int32Array;
  upper: Int32Array;
  share: Float32Array;
}

/** Return the source pixels per pixel, by OpenCV's two divisions, which may differ in the last bit. */
function sourcePixels(length: number, wanted: number): number {
  return 1 / (wanted / length);
}

function neighbours(length: number, wanted: number, place: (pixel: number) => [number, number]): Neighbours {
  const lower = new Int32Array(wanted);
  const upper = new Int32Array(wanted);
  const share = new Float32Array(wanted);
  for (let pixel = 0; pixel < wanted; pixel++) {
    const [below, rest] = place(pixel);
    lower[pixel] = Math.min(Math.max(below, 0), length - 1);
    upper[pixel] = Math.min(Math.max(below + 1, 0), length - 1);
    share[pixel] = rest;
  }
  return { lower, upper, share };
}

/** Interpolate between the centres of pixels; beyond the outermost, repeat them. */
function bilinear(length: number, wanted: number): Neighbours {
  const step = sourcePixels(length, wanted);
  return neighbours(length, wanted, (pixel) => {
    const at = Math.fround((pixel + 0.5) * step - 0.5);
    const below = Math.floor(at);
    return [below, Math.fround(at - below)];
  });
}

/** Interpolate as OpenCV does instead of averaging areas, on both axes, when only one of them shrinks. */
function mixed(length: number, wanted: number): Neighbours {
  const step = sourcePixels(length, wanted);
  return neighbours(length, wanted, (pixel) => {
    const below = Math.floor(pixel * step);
    const at = Math.fround(pixel + 1 - (below + 1) * (wanted / length));
    return [below, at <= 0 ? 0 : Math.fround(at - Math.floor(at))];
  });
}

function interpolate<T extends Sampled>(plane: Plane<T>, down: Neighbours, across: Neighbours): Plane<T> {
  const height = down.lower.length;
  const width = across.lower.length;
  const data = emptyLike(plane.data, height * width);
  const whole = plane.data instanceof Uint8Array;
  const rowOf = whole ? wholeRow : singleRow;
  const blend = whole ? blendWhole : blendSingle;
  const rows = new Map<number, Float64Array>(); // of the source, interpolated along X
  const cached = (y: number): Float64Array => {
    let row = rows.get(y);
    if (!row) {
      if (rows.size > 4) rows.clear();
      rows.set(y, (row = rowOf(plane.data.subarray(y * plane.width, (y + 1) * plane.width), across)));
    }
    return row;
  };
  for (let y = 0; y < height; y++) {
    const upper = cached(down.lower[y]);
    const lower = cached(down.upper[y]);
    const out = data.subarray(y * width, (y + 1) * width);
    blend(upper, lower, Math.fround(1 - down.share[y]), down.share[y], out);
  }
  return { height, width, data };
}

/** Two weights of 11 bits, then 4 bits dropped: OpenCV interpolates uint8 in integers. */
function wholeRow(source: Sampled, across: Neighbours): Float64Array {
  const row = new Float64Array(across.lower.length);
  for (let x = 0; x < row.length; x++) {
    const first = roundEven(Math.fround(Math.fround(1 - across.share[x]) * 2048));
    const second = roundEven(Math.fround(across.share[x] * 2048));
    row[x] = (source[across.lower[x]] * first + source[across.upper[x]] * second) >> 4;
  }
  return row;
}

function blendWhole(upper: Float64Array, lower: Float64Array, high: number, low: number, out: Sampled): void {
  const first = roundEven(Math.fround(high * 2048));
  const second = roundEven(Math.fround(low * 2048));
  for (let x = 0; x < out.length; x++) {
    out[x] = (((upper[x] * first) >> 16) + ((lower[x] * second) >> 16) + 2) >> 2;
  }
}

function singleRow(source: Sampled, across: Neighbours): Float64Array {
  const f = Math.fround;
  const row = new Float64Array(across.lower.length);
  for (let x = 0; x < row.length; x++) {
    const left = f(source[across.lower[x]] * f(1 - across.share[x]));
    row[x] = f(left + f(source[across.upper[x]] * across.share[x]));
  }
  return row;
}

function blendSingle(upper: Float64Array, lower: Float64Array, high: number, low: number, out: Sampled): void {
  const f = Math.fround;
  for (let x = 0; x < out.length; x++) out[x] = f(f(upper[x] * high) + f(lower[x] * low));
}

/** Average areas of whole pixels; OpenCV rounds halves of uint8 up for 2 × 2, and to even for others. */
function averageWhole<T extends Sampled>(plane: Plane<T>, tall: number, wide: number): Plane<T> {
  const height = plane.height / tall;
  const width = plane.width / wide;
  const data = emptyLike(plane.data, height * width);
  const share = Math.fround(1 / (tall * wide));
  const round =
    plane.data instanceof Float32Array
      ? (value: number): number => value
      : tall === 2 && wide === 2
        ? (value: number): number => Math.floor(Math.fround(value + 0.5))
        : roundEven;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let column = 0; column < wide; column++) {
        let part = 0;
        for (let row = 0; row < tall; row++) {
          part += plane.data[(y * tall + row) * plane.width + x * wide + column];
        }
        sum += part;
      }
      data[y * width + x] = round(Math.fround(Math.fround(sum) * share));
    }
  }
  return { height, width, data };
}

/** Source pixels that each pixel averages: those from `first` on, with their weights. */
interface Area {
  first: number;
  weights: Float32Array;
}

/** Return what each pixel of an axis averages; slivers of up to a thousandth are left out, as in OpenCV. */
function areaWeights(length: number, wanted: number): Area[] {
  const step = sourcePixels(length, wanted);
  return Array.from({ length: wanted }, (_, pixel) => {
    const start = pixel * step;
    const stop = start + step;
    const covered = Math.min(step, length - start);
    const last = Math.min(Math.floor(stop), length - 1);
    const begin = Math.min(Math.ceil(start), last);
    const [head, tail] = [begin - start, stop - last];
    const weights: number[] = Array.from({ length: last - begin }, () => 1 / covered);
    const first = head > 1e-3 ? begin - 1 : begin;
    if (head > 1e-3) weights.unshift(head / covered);
    if (tail > 1e-3) weights.push(Math.min(tail, 1, covered) / covered);
    return { first, weights: Float32Array.from(weights) };
  });
}

/** Average along rows first, from the left, then down, all in single precision. */
function average<T extends Sampled>(plane: Plane<T>, down: Area[], across: Area[]): Plane<T> {
  const f = Math.fround;
  const height = down.length;
  const width = across.length;
  const wide = new Float32Array(plane.height * width);
  for (let y = 0; y < plane.height; y++) {
    for (let x = 0; x < width; x++) {
      const { first, weights } = across[x];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) {
        sum = f(sum + f(weights[i] * plane.data[y * plane.width + first + i]));
      }
      wide[y * width + x] = sum;
    }
  }
  const data = emptyLike(plane.data, height * width);
  const round = plane.data instanceof Uint8Array ? roundEven : (value: number): number => value;
  for (let y = 0; y < height; y++) {
    const { first, weights } = down[y];
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum = f(sum + f(weights[i] * wide[(first + i) * width + x]));
      data[y * width + x] = round(sum);
    }
  }
  return { height, width, data };
}
