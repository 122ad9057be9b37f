/** An image at coarser and coarser levels, and tiles of it: each level halves the one before. */
import type { Channel, View } from "../backend";
import { percentile, sortFinite } from "../numerics/intensity_range";
import { emptyLike, roundEven, type Image, type Labels } from "../numerics/plane";

export const TILE = 256;

const RANGE_SIDE = 2048; // side of the level, at most, that values to be shown are read off
const SHOWN = [0.1, 99.9]; // percentiles that are black and white

export class Pyramid {
  /** The finest first. */
  readonly levels: Image[];

  constructor(image: Image) {
    this.levels = [image];
    for (let finer = image; Math.max(finer.height, finer.width) > TILE; ) {
      finer = halved(finer);
      this.levels.push(finer);
    }
  }

  /** Describe the channels; red, green and blue of 8 bits are shown as they are. */
  channels(names: string[], rgb: boolean): Channel[] {
    const small = this.levels.find(({ height, width }) => Math.max(height, width) <= RANGE_SIDE) as Image;
    return names.map((name, index) => {
      const values = small.data.filter((_: number, at: number) => at % small.channels === index);
      const sorted = sortFinite(values as typeof small.data);
      const [least, most] = sorted.length ? [sorted[0], sorted[sorted.length - 1]] : [0, 1];
      const asBytes = rgb && small.data instanceof Uint8Array;
      const [low, high] = asBytes || !sorted.length ? [0, asBytes ? 255 : 1] : SHOWN.map((p) => percentile(sorted, p));
      return { index, name, low, high: high > low ? high : low + 1, least, most };
    });
  }

  /** Draw a tile: RGBA of at most 256 × 256. */
  tile(view: View, z: number, x: number, y: number): ImageData {
    const level = this.levels[this.levels.length - 1 - z];
    const { top, left, height, width } = placeOf(level, x, y);
    const shown = view.channels
      .filter(({ index }) => index >= 0 && index < level.channels)
      .map(({ index, low, high, colour }) => ({ index, low, span: high - low, colour: parseColour(colour) }));
    const rgba = new Uint8ClampedArray(height * width * 4);
    for (let row = 0, to = 0; row < height; row++) {
      let from = ((top + row) * level.width + left) * level.channels;
      for (let column = 0; column < width; column++, from += level.channels, to += 4) {
        rgba[to + 3] = 255;
        for (const { index, low, span, colour } of shown) {
          const share = Math.min(Math.max((level.data[from + index] - low) / span, 0), 1) || 0;
          // Written value by value: they are rounded and clipped when the sum is complete.
          for (let part = 0; part < 3; part++) sums[part] += share * colour[part];
        }
        for (let part = 0; part < 3; part++) {
          rgba[to + part] = sums[part];
          sums[part] = 0;
        }
      }
    }
    return new ImageData(rgba, width, height);
  }
}

const sums = [0, 0, 0];

interface Place {
  top: number;
  left: number;
  height: number;
  width: number;
}

function placeOf(level: { height: number; width: number } | undefined, x: number, y: number): Place {
  const [top, left] = [y * TILE, x * TILE];
  if (!level || x < 0 || y < 0 || top >= level.height || left >= level.width) throw new Error("there is no such tile");
  return { top, left, height: Math.min(TILE, level.height - top), width: Math.min(TILE, level.width - left) };
}

/** Return the ids of a tile: a coarser level shows every so many pixels. */
export function labelTile(
  labels: Labels,
  levels: number,
  z: number,
  x: number,
  y: number,
): { ids: Uint32Array; width: number; height: number } {
  const step = 2 ** (levels - 1 - z);
  const level = { height: Math.ceil(labels.height / step), width: Math.ceil(labels.width / step) };
  const { top, left, height, width } = placeOf(z >= 0 && step >= 1 ? level : undefined, x, y);
  const ids = new Uint32Array(height * width);
  for (let row = 0; row < height; row++) {
    const begin = (top + row) * step * labels.width;
    for (let column = 0; column < width; column++) {
      ids[row * width + column] = Math.max(labels.data[begin + (left + column) * step], 0);
    }
  }
  return { ids, width, height };
}

/** Return the means of squares of four pixels; at an odd side, of those that are there. */
function halved(image: Image): Image {
  const { channels } = image;
  const [height, width] = [Math.ceil(image.height / 2), Math.ceil(image.width / 2)];
  const data = emptyLike(image.data, height * width * channels);
  const whole = !(data instanceof Float32Array || data instanceof Float64Array);
  for (let y = 0, to = 0; y < height; y++) {
    const above = 2 * y * image.width;
    const below = Math.min(2 * y + 1, image.height - 1) * image.width;
    for (let x = 0; x < width; x++) {
      const right = Math.min(2 * x + 1, image.width - 1);
      for (let c = 0; c < channels; c++, to++) {
        const sum =
          image.data[(above + 2 * x) * channels + c] +
          image.data[(above + right) * channels + c] +
          image.data[(below + 2 * x) * channels + c] +
          image.data[(below + right) * channels + c];
        data[to] = whole ? roundEven(sum / 4) : sum / 4;
      }
    }
  }
  return { height, width, channels, data };
}

/** Return red, green and blue of six hexadecimal digits; white of anything else. */
function parseColour(colour: string): [number, number, number] {
  const digits = /^#?([0-9a-f]{6})$/i.exec(colour)?.[1] ?? "ffffff";
  return [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16)) as [number, number, number];
}
