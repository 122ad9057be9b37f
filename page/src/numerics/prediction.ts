/** Image to distance map: tile by tile, blended. */
import { Cancelled } from "./errors";
import type { Target } from "./labels";
import { targetsOf, type ModelConfig } from "./model";
import { cut, paste, type DistanceMap, type Plane, type Window } from "./plane";
import { preprocess } from "./preprocessing";
import { resize, scaledField, type Shape } from "./resampling";
import { Canvas, cutTile, planTiles } from "./tiling";

/** Run the network on one tile (size, size): the maps of all targets, (T, size, size). */
export type Network = (tile: Uint8Array, size: number) => Promise<Float32Array>;

/** Called after every tile. */
export type OnTile = (done: number, total: number) => void;

export type Maps = Map<Target, DistanceMap>;

/** A gray image, its field within constant margins, and its size. */
export interface GrayImage {
  gray: Plane;
  field: Window;
}

/** A model with what leads from an image to its distance maps. */
export class Predictor {
  readonly targets: Target[];
  private readonly flat = new Map<string, Float32Array>(); // maps of tiles of one gray level

  constructor(
    readonly config: ModelConfig,
    private readonly network: Network,
    private readonly onTile: OnTile = () => undefined,
    private readonly signal?: AbortSignal,
  ) {
    this.targets = targetsOf(config);
  }

  prepare(image: GrayImage, scale: number): Plane<Uint8Array> {
    return preprocess(image.gray, this.config.preprocessing, scale, image.field);
  }

  /** Predict the maps of a preprocessed image, at its own size. */
  async predict(gray: Plane<Uint8Array>, targets: readonly Target[]): Promise<Maps> {
    return this.predictTiles(gray, targets, this.config.tile_size, this.config.overlap);
  }

  /** Predict as `predict` does, but what is smaller than a tile in one as small, which costs less. */
  async predictView(gray: Plane<Uint8Array>, targets: readonly Target[]): Promise<Maps> {
    const { tile_size: tile, overlap, stride } = this.config;
    const side = Math.min(tile, Math.ceil(Math.max(gray.height, gray.width) / stride) * stride);
    return this.predictTiles(gray, targets, side, Math.min(overlap, side >> 1));
  }

  /** Predict an image at another scale; the maps come back at the image's own, and are 0 in its margins. */
  async predictRescaled(
    image: GrayImage,
    scale: number,
    targets: readonly Target[],
    prepared = this.prepare(image, scale),
  ): Promise<Maps> {
    const shape: Shape = [image.gray.height, image.gray.width];
    const { field } = image;
    const seen = cut(prepared, scaledField(field, shape, scale));
    const found = await this.predict(seen, targets);
    const maps: Maps = new Map();
    for (const [target, map] of found) {
      const whole = { height: shape[0], width: shape[1], data: new Float32Array(shape[0] * shape[1]) };
      paste(whole, field, resize(map, [field.bottom - field.top, field.right - field.left]));
      maps.set(target, whole);
    }
    return maps;
  }

  private async predictTiles(
    gray: Plane<Uint8Array>,
    targets: readonly Target[],
    side: number,
    overlap: number,
  ): Promise<Maps> {
    const tiles = planTiles(gray.height, gray.width, side, overlap);
    const canvases = new Map(targets.map((target) => [target, new Canvas(tiles, gray.height, gray.width)]));
    const pixels = side * side;
    for (const [number, tile] of tiles.entries()) {
      if (this.signal?.aborted) throw new Cancelled("the work was cancelled");
      const maps = await this.forward(cutTile(gray, tile), side);
      for (const [target, canvas] of canvases) {
        const at = this.targets.indexOf(target) * pixels;
        canvas.add(maps.subarray(at, at + pixels));
      }
      this.onTile(number + 1, tiles.length);
    }
    return new Map([...canvases].map(([target, canvas]) => [target, canvas.finish()]));
  }

  /** Predict a tile; of those that hold one gray level alone, as beyond a slide's edge, one a level. */
  private async forward(tile: Uint8Array, side: number): Promise<Float32Array> {
    const flat = tile.every((level) => level === tile[0]);
    const key = `${side} ${tile[0]}`;
    const known = flat ? this.flat.get(key) : undefined;
    if (known) return known;
    const maps = await this.network(tile, side);
    if (flat) this.flat.set(key, maps);
    return maps;
  }
}
