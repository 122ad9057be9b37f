/** Exact Euclidean distances on the grid of pixels. */
import type { Labels, Plane } from "./plane";

/**
 * Compute the distance of every cell pixel to the nearest pixel outside its cell, float32 (Y, X).
 *
 * What lies beyond the image is no outside, unless `border` says so. A cell that fills the image has no outside:
 * infinity there.
 */
export function distanceToOutside(labels: Labels, border = false): Plane<Float32Array> {
  const { height, width, data } = labels;
  const squares = new Float64Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let begin = 0; begin < width; ) {
      let end = begin;
      const id = data[y * width + begin];
      while (end < width && data[y * width + end] === id) end++;
      for (let x = begin; id > 0 && x < end; x++) {
        const left = begin > 0 || border ? x - begin + 1 : Infinity;
        const right = end < width || border ? end - x : Infinity;
        squares[y * width + x] = Math.min(left, right) ** 2;
      }
      begin = end;
    }
  }
  const distance = new Float32Array(data.length);
  const envelope = new Envelope(height);
  for (let x = 0; x < width; x++) {
    for (let begin = 0; begin < height; ) {
      let end = begin;
      const id = data[begin * width + x];
      while (end < height && data[end * width + x] === id) end++;
      if (id > 0) {
        envelope.clear();
        if (begin > 0 || border) envelope.add(begin - 1, 0);
        for (let y = begin; y < end; y++) envelope.add(y, squares[y * width + x]);
        if (end < height || border) envelope.add(end, 0);
        for (let y = begin; y < end; y++) distance[y * width + x] = Math.sqrt(envelope.at(y));
      }
      begin = end;
    }
  }
  return { height, width, data: distance };
}

/** Nearest labelled pixel of every pixel: its place in the flattened array (−1 without any), and the distance. */
export interface Nearest {
  place: Int32Array;
  distance: Float64Array;
}

/**
 * Find the nearest pixel that has a label; of equally near ones the leftmost, and of these the uppermost, as
 * `scipy.ndimage.distance_transform_edt` does.
 */
export function nearestLabelled(labels: Labels): Nearest {
  const { height, width, data } = labels;
  const rows = new Int32Array(data.length).fill(-1); // of the nearest in the column; the upper one of two
  for (let x = 0; x < width; x++) {
    let last = -1;
    for (let y = 0; y < height; y++) {
      if (data[y * width + x] !== 0) last = y;
      rows[y * width + x] = last;
    }
    let next = -1;
    for (let y = height - 1; y >= 0; y--) {
      if (data[y * width + x] !== 0) next = y;
      const above = rows[y * width + x];
      if (next >= 0 && (above < 0 || next - y < y - above)) rows[y * width + x] = next;
    }
  }
  const place = new Int32Array(data.length);
  const distance = new Float64Array(data.length);
  const envelope = new Envelope(width);
  for (let y = 0; y < height; y++) {
    envelope.clear();
    for (let x = 0; x < width; x++) {
      const row = rows[y * width + x];
      if (row >= 0) envelope.add(x, (row - y) ** 2);
    }
    for (let x = 0; x < width; x++) {
      distance[y * width + x] = Math.sqrt(envelope.at(x));
      const column = envelope.nearest(x);
      place[y * width + x] = column < 0 ? -1 : rows[y * width + column] * width + column;
    }
  }
  return { place, distance };
}

/**
 * Lower envelope of parabolas (x − centre)² + height, whose minima along a line it finds in one pass.
 *
 * Centres are added in rising order, and asked for in rising order. Where two parabolas are equally low, the one
 * on the left is taken. Sums are whole numbers, and so exact.
 */
class Envelope {
  private readonly centres: Float64Array;
  private readonly heights: Float64Array;
  private readonly begins: Float64Array; // first whole place at which each one is lower than those before
  private count = 0;
  private current = 0;

  constructor(length: number) {
    this.centres = new Float64Array(length + 2);
    this.heights = new Float64Array(length + 2);
    this.begins = new Float64Array(length + 2);
  }

  clear(): void {
    this.count = this.current = 0;
  }

  add(centre: number, height: number): void {
    if (height === Infinity) return;
    let begin = -Infinity;
    while (this.count) {
      const last = this.count - 1;
      // Both are equal at `crossing`; the new one is lower right of it.
      const sum = height + centre ** 2 - this.heights[last] - this.centres[last] ** 2;
      begin = Math.floor(sum / (2 * (centre - this.centres[last]))) + 1;
      if (begin > this.begins[last]) break;
      this.count--;
      begin = -Infinity;
    }
    this.centres[this.count] = centre;
    this.heights[this.count] = height;
    this.begins[this.count++] = begin;
  }

  /** Return the lowest value at a place; infinity without parabolas. */
  at(place: number): number {
    if (!this.count) return Infinity;
    while (this.current + 1 < this.count && this.begins[this.current + 1] <= place) this.current++;
    return (place - this.centres[this.current]) ** 2 + this.heights[this.current];
  }

  /** Return the centre of the lowest parabola at the place that was asked for last; −1 without parabolas. */
  nearest(place: number): number {
    this.at(place);
    return this.count ? this.centres[this.current] : -1;
  }
}
