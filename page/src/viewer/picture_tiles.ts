/** Tiles of the image itself. */

import type { Backend, ImageInfo, View } from "../backend";
import type { TileIndex } from "./pyramid";
import type { TileDrawing } from "./tile_layer";
import { TileStore } from "./tile_store";

/** Tiles that are kept: 256 KiB each. */
const KEPT = 400;

export class PictureTiles implements TileDrawing {
  private readonly store: TileStore<ImageBitmap>;

  constructor(
    backend: Backend,
    image: ImageInfo,
    private view: View,
    onTile: () => void,
  ) {
    this.store = new TileStore({
      load: ({ z, x, y }, signal) => backend.imageTile(image, this.view, z, x, y, signal),
      onTile,
      onDrop: (bitmap) => bitmap.close(),
      limit: KEPT,
    });
  }

  picture(index: TileIndex): CanvasImageSource | null {
    return this.view.channels.length ? this.store.get(index) : null;
  }

  want(indices: TileIndex[]): void {
    this.store.want(this.view.channels.length ? indices : []);
  }

  /** Show other channels, colours or contrast. */
  show(view: View): void {
    this.view = view;
    this.store.spoil();
  }

  clear(): void {
    this.store.clear();
  }
}
