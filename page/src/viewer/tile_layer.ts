/** Layer of the map that draws tiles of a pyramid; where one is not there yet, a coarser one stands for it. */

import type { FrameState } from "ol/Map";
import Layer from "ol/layer/Layer";
import type Source from "ol/source/Source";
import ViewHint from "ol/ViewHint";
import { levelFor, parentOf, type Pyramid, scaleOf, tilesIn, type TileIndex, type Window, windowOf } from "./pyramid";

/** What the layer draws, and how it learns what is wanted. */
export interface TileDrawing {
  /** Return the picture of a tile; null where it is not there. */
  picture(index: TileIndex): CanvasImageSource | null;
  want(indices: TileIndex[]): void;
}

const FINER_LEVELS = 2;

export class TileLayer extends Layer<Source> {
  private readonly canvas = document.createElement("canvas");
  private readonly context: CanvasRenderingContext2D;

  constructor(
    private readonly pyramid: Pyramid,
    private readonly drawing: TileDrawing,
  ) {
    super({});
    this.canvas.className = "tiles";
    const context = this.canvas.getContext("2d");
    if (!context) throw new Error("The browser has no canvas to draw on");
    this.context = context;
  }

  override render(frame: FrameState): HTMLElement {
    const { size, pixelRatio, viewState, viewHints } = frame;
    const [width, height] = [Math.round(size[0] * pixelRatio), Math.round(size[1] * pixelRatio)];
    if (this.canvas.width !== width || this.canvas.height !== height)
      [this.canvas.width, this.canvas.height] = [width, height];
    else this.context.clearRect(0, 0, width, height);
    const resolution = viewState.resolution / pixelRatio;
    const [left, top] = [
      viewState.center[0] - (width / 2) * resolution,
      -viewState.center[1] - (height / 2) * resolution,
    ];
    const window = { top, left, bottom: top + height * resolution, right: left + width * resolution };
    const z = levelFor(this.pyramid, resolution);
    const tiles = tilesIn(this.pyramid, z, window);
    if (!viewHints[ViewHint.ANIMATING]) this.drawing.want([...tiles, { z: 0, x: 0, y: 0 }]);
    this.context.imageSmoothingEnabled = scaleOf(this.pyramid, z) < resolution;
    this.context.globalAlpha = this.getOpacity();
    for (const tile of tiles) this.drawTile(tile, window, resolution);
    return this.canvas;
  }

  private drawTile(tile: TileIndex, window: Window, resolution: number): void {
    const picture = this.drawing.picture(tile);
    if (picture) this.put(picture, tile, windowOf(this.pyramid, tile), window, resolution);
    else if (!this.drawFiner(tile, window, resolution)) this.drawCoarser(tile, window, resolution);
  }

  /** Draw the tiles of finer levels in place of one that is not there; returns whether all of them were. */
  private drawFiner(tile: TileIndex, window: Window, resolution: number): boolean {
    const place = windowOf(this.pyramid, tile);
    for (let z = tile.z + 1; z < this.pyramid.levels && z <= tile.z + FINER_LEVELS; z++) {
      const parts = tilesIn(this.pyramid, z, place).map((index) => ({ index, picture: this.drawing.picture(index) }));
      if (!parts.every(({ picture }) => picture)) continue;
      for (const { index, picture } of parts) {
        if (picture) this.put(picture, index, windowOf(this.pyramid, index), window, resolution);
      }
      return true;
    }
    return false;
  }

  private drawCoarser(tile: TileIndex, window: Window, resolution: number): void {
    for (let up = 1; up <= tile.z; up++) {
      const parent = parentOf(tile, up);
      const picture = this.drawing.picture(parent);
      if (!picture) continue;
      this.put(picture, parent, windowOf(this.pyramid, tile), window, resolution);
      return;
    }
  }

  /** Draw the part of a tile's picture that shows `place`. */
  private put(picture: CanvasImageSource, tile: TileIndex, place: Window, window: Window, resolution: number): void {
    const whole = windowOf(this.pyramid, tile);
    const { width, height } = picture as { width: number; height: number };
    const across = width / (whole.right - whole.left);
    const down = height / (whole.bottom - whole.top);
    const x = Math.round((place.left - window.left) / resolution);
    const y = Math.round((place.top - window.top) / resolution);
    this.context.drawImage(
      picture,
      (place.left - whole.left) * across,
      (place.top - whole.top) * down,
      (place.right - place.left) * across,
      (place.bottom - place.top) * down,
      x,
      y,
      Math.round((place.right - window.left) / resolution) - x,
      Math.round((place.bottom - window.top) / resolution) - y,
    );
  }
}
