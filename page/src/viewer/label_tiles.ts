/** Tiles of labels: ids as they come, painted when they are drawn. */

import type { Backend, LabelTile, Result } from "../backend";
import { type LabelStyle, paintLabels } from "./label_painting";
import { type Pyramid, scaleOf, TILE, type TileIndex, touches } from "./pyramid";
import type { TileDrawing } from "./tile_layer";
import { TileStore } from "./tile_store";

/** Tiles that are kept: 512 KiB each, with their picture. */
const KEPT = 240;

interface PaintedTile extends LabelTile {
  picture: OffscreenCanvas | null;
  isPainted: boolean;
}

export class LabelTiles implements TileDrawing {
  private readonly store: TileStore<PaintedTile>;
  private isHidden = false;

  constructor(
    backend: Backend,
    private result: Result,
    private readonly pyramid: Pyramid,
    private style: LabelStyle,
    onTile: () => void,
  ) {
    this.store = new TileStore<PaintedTile>({
      load: async ({ z, x, y }, signal) => {
        const tile = await backend.labelTile(this.result, z, x, y, signal);
        return { ...tile, picture: null, isPainted: false };
      },
      onTile: (index) => {
        this.repaintBeside(index);
        onTile();
      },
      limit: KEPT,
    });
  }

  picture(index: TileIndex): CanvasImageSource | null {
    const tile = this.isHidden ? null : this.store.get(index);
    if (!tile) return null;
    if (!tile.picture || !tile.isPainted) this.paint(index, tile);
    return tile.picture;
  }

  want(indices: TileIndex[]): void {
    this.store.want(indices);
  }

  /** Paint in another way, or not at all. */
  paintAs(style: LabelStyle, isHidden: boolean): void {
    this.style = style;
    this.isHidden = isHidden;
    this.store.each((tile) => (tile.isPainted = false));
  }

  /** Show other labels of the same image, of which all, nothing, or those in a box have changed. */
  update(result: Result, changed: "all" | "nothing" | readonly [number, number, number, number]): void {
    this.result = result;
    if (changed === "nothing") return;
    this.store.spoil((index) => changed === "all" || touches(this.pyramid, index, changed));
  }

  /** Return the id that is shown at a row and column; null where nothing is there yet, or it is out of date. */
  shownAt(row: number, column: number): number | null {
    for (let z = this.pyramid.levels - 1; z >= 0; z--) {
      const id = this.idIn(z, row, column, (index) => this.store.getFresh(index));
      if (id !== null) return id;
    }
    return null;
  }

  /** Return the id at a row and column of the image, which is asked for where it is not there. */
  async idAt(row: number, column: number): Promise<number> {
    const z = this.pyramid.levels - 1;
    const tile = await this.store.fetch({ z, x: Math.floor(column / TILE), y: Math.floor(row / TILE) });
    return this.idIn(z, row, column, () => tile) ?? 0;
  }

  clear(): void {
    this.store.clear();
  }

  private idIn(z: number, row: number, column: number, tileOf: (index: TileIndex) => LabelTile | null): number | null {
    const scale = scaleOf(this.pyramid, z);
    const [y, x] = [Math.floor(row / scale), Math.floor(column / scale)];
    const tile = tileOf({ z, x: Math.floor(x / TILE), y: Math.floor(y / TILE) });
    if (!tile) return null;
    return tile.ids[Math.min(y % TILE, tile.height - 1) * tile.width + Math.min(x % TILE, tile.width - 1)];
  }

  private paint({ z, x, y }: TileIndex, tile: PaintedTile): void {
    const beside = {
      left: this.store.get({ z, x: x - 1, y }),
      right: this.store.get({ z, x: x + 1, y }),
      above: this.store.get({ z, x, y: y - 1 }),
      below: this.store.get({ z, x, y: y + 1 }),
    };
    tile.picture ??= new OffscreenCanvas(tile.width, tile.height);
    const pixels = paintLabels(tile, beside, this.style);
    tile.picture.getContext("2d")?.putImageData(new ImageData(pixels, tile.width, tile.height), 0, 0);
    tile.isPainted = true;
  }

  /** Paint the tiles beside one that has come again: their rims depend on it. */
  private repaintBeside({ z, x, y }: TileIndex): void {
    for (const [across, down] of [
      [-1, 0],
      [1, 0],
      [0, -1],
      [0, 1],
    ]) {
      const tile = this.store.get({ z, x: x + across, y: y + down });
      if (tile) tile.isPainted = false;
    }
  }
}
