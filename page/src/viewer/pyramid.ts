/** Tiles of an image in levels: which of them a window shows, and which of them an edit touches. */

/** Side of a tile in pixels of its level. */
export const TILE = 256;

export interface Pyramid {
  width: number;
  height: number;
  /** Level `levels - 1` has every pixel, each level below half as many a side. */
  levels: number;
}

export interface TileIndex {
  z: number;
  x: number;
  y: number;
}

/** Part of an image in its pixels: edges, not centres. */
export interface Window {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

/** Return the text that stands for a tile. */
export function keyOf({ z, x, y }: TileIndex): string {
  return `${z}/${x}/${y}`;
}

/** Return how many pixels of the image, along a side, one pixel of a level stands for. */
export function scaleOf(pyramid: Pyramid, z: number): number {
  return 2 ** (pyramid.levels - 1 - z);
}

/** Return the level to show where a pixel of the screen covers `resolution` pixels of the image. */
export function levelFor(pyramid: Pyramid, resolution: number): number {
  const above = Math.round(Math.log2(Math.max(resolution, 1)) - 0.2);
  return Math.min(Math.max(pyramid.levels - 1 - above, 0), pyramid.levels - 1);
}

/** Return the part of the image that a tile shows. */
export function windowOf(pyramid: Pyramid, { z, x, y }: TileIndex): Window {
  const side = TILE * scaleOf(pyramid, z);
  return {
    top: y * side,
    left: x * side,
    bottom: Math.min((y + 1) * side, pyramid.height),
    right: Math.min((x + 1) * side, pyramid.width),
  };
}

/** Return the tiles of a level that show a window, those in its middle first. */
export function tilesIn(pyramid: Pyramid, z: number, window: Window): TileIndex[] {
  const side = TILE * scaleOf(pyramid, z);
  const last = { x: Math.ceil(pyramid.width / side) - 1, y: Math.ceil(pyramid.height / side) - 1 };
  const from = { x: Math.max(Math.floor(window.left / side), 0), y: Math.max(Math.floor(window.top / side), 0) };
  const to = {
    x: Math.min(Math.ceil(window.right / side) - 1, last.x),
    y: Math.min(Math.ceil(window.bottom / side) - 1, last.y),
  };
  const tiles: TileIndex[] = [];
  for (let y = from.y; y <= to.y; y++) for (let x = from.x; x <= to.x; x++) tiles.push({ z, x, y });
  const middle = { x: (window.left + window.right) / 2 / side - 0.5, y: (window.top + window.bottom) / 2 / side - 0.5 };
  const far = (tile: TileIndex) => (tile.x - middle.x) ** 2 + (tile.y - middle.y) ** 2;
  return tiles.sort((one, other) => far(one) - far(other));
}

/** Return whether a tile, or the row of pixels around it, shows a box of first row and column and those after the last. */
export function touches(pyramid: Pyramid, tile: TileIndex, box: readonly [number, number, number, number]): boolean {
  const { top, left, bottom, right } = windowOf(pyramid, tile);
  const around = scaleOf(pyramid, tile.z);
  return box[0] < bottom + around && box[2] > top - around && box[1] < right + around && box[3] > left - around;
}

/** Return the tile of a coarser level that shows all of a tile. */
export function parentOf({ z, x, y }: TileIndex, levelsUp = 1): TileIndex {
  return { z: z - levelsUp, x: x >> levelsUp, y: y >> levelsUp };
}
