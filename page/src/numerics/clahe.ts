/** Contrast-limited adaptive histogram equalisation in windows of a fixed size, in OpenCV's arithmetic. */
import { roundEven, type Plane } from "./plane";

const LEVELS = 256;

/**
 * Apply CLAHE; the image is mirrored at its lower and right edge up to whole windows.
 *
 * @param clipLimit OpenCV's clip limit.
 * @param window Side of a window in pixels.
 */
export function applyClahe(gray: Plane<Uint8Array>, clipLimit: number, window: number): Plane<Uint8Array> {
  const rows = Math.ceil(gray.height / window);
  const columns = Math.ceil(gray.width / window);
  const tables = new Uint8Array(rows * columns * LEVELS);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = (row * columns + column) * LEVELS;
      equalise(countLevels(gray, row, column, window), clipLimit, window, tables.subarray(at, at + LEVELS));
    }
  }
  return interpolate(gray, tables, rows, columns, window);
}

/** Count the gray levels of a window, mirrored where it reaches beyond the edge. */
function countLevels(gray: Plane<Uint8Array>, row: number, column: number, window: number): Int32Array {
  const counts = new Int32Array(LEVELS);
  const ys = mirrored(row * window, window, gray.height);
  const xs = mirrored(column * window, window, gray.width);
  for (const y of ys) {
    const begin = y * gray.width;
    for (let i = 0; i < window; i++) counts[gray.data[begin + xs[i]]]++;
  }
  return counts;
}

/** List positions from `start` on, mirrored with the edge pixel repeated: …, n − 2, n − 1, n − 1, n − 2, … */
export function mirrored(start: number, count: number, length: number): Int32Array {
  return Int32Array.from({ length: count }, (_, step) => {
    const at = (start + step) % (2 * length);
    return at < length ? at : 2 * length - 1 - at;
  });
}

/** Clip a histogram, and write the table of levels that evens it out. */
function equalise(counts: Int32Array, clipLimit: number, window: number, table: Uint8Array): void {
  const pixels = window * window;
  const limit = Math.max(Math.trunc((clipLimit * pixels) / LEVELS), 1);
  let clipped = 0;
  for (let level = 0; level < LEVELS; level++) {
    if (counts[level] > limit) {
      clipped += counts[level] - limit;
      counts[level] = limit;
    }
  }
  const batch = Math.trunc(clipped / LEVELS);
  let residual = clipped - batch * LEVELS;
  for (let level = 0; level < LEVELS; level++) counts[level] += batch;
  if (residual) {
    const step = Math.max(Math.trunc(LEVELS / residual), 1);
    for (let level = 0; level < LEVELS && residual > 0; level += step, residual--) counts[level]++;
  }
  const scale = Math.fround((LEVELS - 1) / pixels);
  let sum = 0;
  for (let level = 0; level < LEVELS; level++) {
    sum += counts[level];
    table[level] = Math.min(255, roundEven(Math.fround(sum * scale)));
  }
}

interface Between {
  lower: Int32Array;
  upper: Int32Array;
  /** Weight of the upper window, float32. */
  share: Float32Array;
}

/** Find the two windows whose centres surround each pixel along an axis. */
function surrounding(length: number, window: number, count: number): Between {
  const lower = new Int32Array(length);
  const upper = new Int32Array(length);
  const share = new Float32Array(length);
  const inverse = Math.fround(1 / window);
  for (let at = 0; at < length; at++) {
    const position = Math.fround(Math.fround(at * inverse) - 0.5);
    const below = Math.floor(position);
    share[at] = Math.fround(position - below);
    lower[at] = Math.max(below, 0);
    upper[at] = Math.min(below + 1, count - 1);
  }
  return { lower, upper, share };
}

function interpolate(
  gray: Plane<Uint8Array>,
  tables: Uint8Array,
  rows: number,
  columns: number,
  window: number,
): Plane<Uint8Array> {
  const f = Math.fround;
  const down = surrounding(gray.height, window, rows);
  const across = surrounding(gray.width, window, columns);
  const data = new Uint8Array(gray.data.length);
  for (let y = 0; y < gray.height; y++) {
    const above = down.lower[y] * columns;
    const below = down.upper[y] * columns;
    const low = down.share[y];
    const high = f(1 - low);
    for (let x = 0; x < gray.width; x++) {
      const at = y * gray.width + x;
      const level = gray.data[at];
      const right = across.share[x];
      const left = f(1 - right);
      const first = across.lower[x];
      const second = across.upper[x];
      const upper = f(
        f(tables[(above + first) * LEVELS + level] * left) + f(tables[(above + second) * LEVELS + level] * right),
      );
      const lower = f(
        f(tables[(below + first) * LEVELS + level] * left) + f(tables[(below + second) * LEVELS + level] * right),
      );
      data[at] = roundEven(f(f(upper * high) + f(lower * low)));
    }
  }
  return { height: gray.height, width: gray.width, data };
}
