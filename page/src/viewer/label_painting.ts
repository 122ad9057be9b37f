/** Paints ids of cells as pixels of red, green, blue and opacity. */

import type { LabelTile } from "../backend";
import { colourOfId } from "./colours";

export type LabelShape = "fill" | "outline";

/** How labels are painted. */
export interface LabelStyle {
  shape: LabelShape;
  /** Colours of cells, 0xRRGGBB; those of their ids where null. */
  colours: ReadonlyMap<number, number> | null;
  /** Cells that are painted; the others are faint. All where null. */
  kept: ReadonlySet<number> | null;
}

/** Tiles beside a tile, where they are there. */
export interface Neighbours {
  left: LabelTile | null;
  right: LabelTile | null;
  above: LabelTile | null;
  below: LabelTile | null;
}

const INSIDE = 0.42;
const FAINT = 0.15;

/**
 * Return the pixels of a tile.
 *
 * A pixel is at the rim of its cell where one of the four pixels beside it has another id, also across the border to a
 * tile beside it. Beyond a border without a tile the cell goes on.
 */
export function paintLabels(tile: LabelTile, beside: Neighbours, style: LabelStyle): Uint8ClampedArray<ArrayBuffer> {
  const { ids, width, height } = tile;
  const pixels = new Uint8ClampedArray(ids.length * 4);
  const rim = rimOf(tile, beside);
  const inside = style.shape === "fill" ? INSIDE : 0;
  for (let at = 0; at < width * height; at++) {
    const id = ids[at];
    if (id === 0 || (!rim[at] && !inside)) continue;
    const colour = style.colours?.get(id) ?? colourOfId(id);
    const share = (rim[at] ? 1 : inside) * (style.kept && !style.kept.has(id) ? FAINT : 1);
    pixels[4 * at] = colour >> 16;
    pixels[4 * at + 1] = (colour >> 8) & 255;
    pixels[4 * at + 2] = colour & 255;
    pixels[4 * at + 3] = 255 * share;
  }
  return pixels;
}

/** Return 1 for every pixel that has another id beside it. */
function rimOf({ ids, width, height }: LabelTile, { left, right, above, below }: Neighbours): Uint8Array {
  const rim = new Uint8Array(ids.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = row * width + column;
      const id = ids[at];
      if (id === 0) continue;
      const west = column ? ids[at - 1] : idIn(left, row, -1, id);
      const east = column + 1 < width ? ids[at + 1] : idIn(right, row, 0, id);
      const north = row ? ids[at - width] : idIn(above, -1, column, id);
      const south = row + 1 < height ? ids[at + width] : idIn(below, 0, column, id);
      if (west !== id || east !== id || north !== id || south !== id) rim[at] = 1;
    }
  }
  return rim;
}

/** Return the id at a row and column of a tile, counted from the end where negative; `otherwise` where it is not there. */
function idIn(tile: LabelTile | null, row: number, column: number, otherwise: number): number {
  if (!tile) return otherwise;
  const y = row < 0 ? tile.height + row : row;
  const x = column < 0 ? tile.width + column : column;
  return y < tile.height && x < tile.width ? tile.ids[y * tile.width + x] : otherwise;
}
