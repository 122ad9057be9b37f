/**
 * Cut an image into overlapping tiles and blend their predictions: plan first, then act.
 *
 * Every tile is weighed by a cosine window over its overlaps, and sums are divided by the sum of the weights, so
 * a network that returned its input would give the image back exactly.
 */
import { mirrored } from "./clahe";
import { InputError } from "./errors";
import type { DistanceMap, Plane } from "./plane";

/** No pixel of a tile weighs less, so no sum of weights is near 0. */
const MIN_WEIGHT = Math.fround(1e-3);

/** A square window on the image: its first row and column, and its side in pixels. */
export interface Tile {
  y: number;
  x: number;
  size: number;
}

/**
 * Cover an image with tiles that overlap by at least `overlap` pixels, in row-major order.
 *
 * Tiles start every `tile − overlap` pixels; the last of a row or column is moved back to end with the image. An
 * axis shorter than a tile gets one tile that starts at 0.
 */
export function planTiles(height: number, width: number, tile: number, overlap: number): Tile[] {
  if (!(overlap >= 0 && overlap <= Math.floor(tile / 2))) {
    throw new InputError(`overlap is ${overlap}, expected 0 to ${Math.floor(tile / 2)}, half of the tile of ${tile}`);
  }
  const columns = starts(width, tile, overlap);
  return starts(height, tile, overlap).flatMap((y) => columns.map((x) => ({ y, x, size: tile })));
}

function starts(length: number, tile: number, overlap: number): number[] {
  if (length <= tile) return [0];
  const found: number[] = [];
  const last = length - tile;
  for (let at = 0; at < last; at += tile - overlap) found.push(at);
  return [...found, last];
}

/** Cut a tile out of an image, mirrored where it reaches beyond the edge. */
export function cutTile(image: Plane<Uint8Array>, tile: Tile): Uint8Array {
  const cut = new Uint8Array(tile.size * tile.size);
  const ys = mirrored(0, tile.size, Math.min(tile.size, image.height - tile.y));
  const xs = mirrored(0, tile.size, Math.min(tile.size, image.width - tile.x));
  for (let y = 0; y < tile.size; y++) {
    const begin = (tile.y + ys[y]) * image.width + tile.x;
    for (let x = 0; x < tile.size; x++) cut[y * tile.size + x] = image.data[begin + xs[x]];
  }
  return cut;
}

/** A map that is put together tile by tile, in the order of the tiles. */
export class Canvas {
  private added = 0;
  private readonly rows: Map<number, Float32Array>;
  private readonly columns: Map<number, Float32Array>;
  private readonly total: Float32Array;
  private readonly weights: Float32Array;

  constructor(
    private readonly tiles: readonly Tile[],
    private readonly height: number,
    private readonly width: number,
  ) {
    this.rows = axisWeights(tiles.map((tile) => [tile.y, tile.size]), height);
    this.columns = axisWeights(tiles.map((tile) => [tile.x, tile.size]), width);
    this.total = new Float32Array(height * width);
    this.weights = new Float32Array(height * width);
  }

  /** Add the prediction of the next tile, (size, size). */
  add(prediction: Float32Array): void {
    const f = Math.fround;
    const tile = this.tiles[this.added++];
    const rows = this.rows.get(tile.y) as Float32Array;
    const columns = this.columns.get(tile.x) as Float32Array;
    for (let y = 0; y < rows.length; y++) {
      const begin = (tile.y + y) * this.width + tile.x;
      for (let x = 0; x < columns.length; x++) {
        const weight = Math.max(f(rows[y] * columns[x]), MIN_WEIGHT);
        this.total[begin + x] += f(weight * prediction[y * tile.size + x]);
        this.weights[begin + x] += weight;
      }
    }
  }

  finish(): DistanceMap {
    const data = this.total.map((total, i) => total / this.weights[i]);
    return { height: this.height, width: this.width, data };
  }
}

/** Compute weights along one axis for every tile start: they fall only where a neighbour overlaps. */
function axisWeights(spans: [number, number][], length: number): Map<number, Float32Array> {
  const sizes = new Map(spans);
  const ordered = [...sizes].sort((a, b) => a[0] - b[0]);
  const weights = new Map<number, Float32Array>();
  ordered.forEach(([start, size], i) => {
    const window = new Float32Array(Math.min(start + size, length) - start).fill(1);
    if (i > 0) {
      const before = ramp(ordered[i - 1][0] + ordered[i - 1][1] - start);
      before.forEach((weight, at) => (window[at] *= weight));
    }
    if (i + 1 < ordered.length) {
      const after = ramp(start + size - ordered[i + 1][0]);
      after.forEach((weight, at) => (window[window.length - 1 - at] *= weight));
    }
    weights.set(start, window);
  });
  return weights;
}

/** Return sin² from 0 to 1 over an overlap. */
function ramp(overlap: number): Float32Array {
  return Float32Array.from({ length: overlap }, (_, at) => {
    return Math.sin((((at + 0.5) / Math.max(overlap, 1)) * Math.PI) / 2) ** 2;
  });
}
