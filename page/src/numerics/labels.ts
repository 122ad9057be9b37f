/** Label images: int32 (Y, X), 0 is background, cells are 1…N. */
import { median, zeros, type Labels, type Mask, type Plane, type Window } from "./plane";

/** Object that labels outline: whole cells, or their nuclei. */
export type Target = "cells" | "nuclei";

export function maxId(labels: Labels): number {
  let highest = 0;
  for (let i = 0; i < labels.data.length; i++) if (labels.data[i] > highest) highest = labels.data[i];
  return highest;
}

/** Count the pixels of every id; entry 0 is the background. */
export function cellAreas(labels: Labels): Float64Array {
  const areas = new Float64Array(maxId(labels) + 1);
  for (let i = 0; i < labels.data.length; i++) if (labels.data[i] >= 0) areas[labels.data[i]]++;
  return areas;
}

/** Return the ids of the cells, in rising order. */
export function cellIds(labels: Labels): number[] {
  const ids: number[] = [];
  cellAreas(labels).forEach((area, id) => {
    if (id > 0 && area > 0) ids.push(id);
  });
  return ids;
}

/** Return the rows and columns that hold cells, with a margin in pixels where the image has one; null without any. */
export function windowOf(labels: Labels, ids: readonly number[], margin = 0): Window | null {
  const { height, width, data } = labels;
  const wanted = new Uint8Array(maxId(labels) + 1);
  for (const id of ids) wanted[id] = 1;
  let [top, bottom, left, right] = [height, 0, width, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (!wanted[data[at]]) continue;
      if (y < top) top = y;
      bottom = y + 1;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
    }
  }
  if (!bottom) return null;
  return {
    top: Math.max(0, top - margin),
    bottom: Math.min(height, bottom + margin),
    left: Math.max(0, left - margin),
    right: Math.min(width, right + margin),
  };
}

/** Renumber the cells of at least `minSize` pixels 1…N in the order of their ids; the others become 0. */
export function renumber(labels: Labels, minSize: number): Labels {
  const areas = cellAreas(labels);
  const numbers = new Int32Array(areas.length);
  let count = 0;
  for (let id = 1; id < areas.length; id++) if (areas[id] >= minSize) numbers[id] = ++count;
  return { ...labels, data: labels.data.map((id) => (id > 0 ? numbers[id] : 0)) };
}

/** Return the median equivalent diameter of the cells in pixels; NaN without cells. */
export function medianDiameter(labels: Labels): number {
  const areas = cellAreas(labels).subarray(1).filter((area) => area > 0);
  return median(areas.map((area) => 2 * Math.sqrt(area / Math.PI)));
}

/**
 * Return the numbers of the connected pieces of equal labels, 1…N in row-major order of their first pixels.
 *
 * @param corners Whether pixels that touch at a corner alone hang together (8-connected), or not (4-connected).
 */
export function numberPieces(labels: Plane<Int32Array> | Mask, corners: boolean): Labels {
  const { height, width, data } = labels;
  const pieces = zeros(height, width);
  const waiting = new Int32Array(data.length);
  let count = 0;
  for (let start = 0; start < data.length; start++) {
    if (data[start] === 0 || pieces.data[start]) continue;
    const id = data[start];
    let size = 1;
    pieces.data[start] = ++count;
    waiting[0] = start;
    while (size) {
      const at = waiting[--size];
      const y = Math.floor(at / width);
      const x = at - y * width;
      for (let down = -1; down <= 1; down++) {
        for (let right = -1; right <= 1; right++) {
          if ((!down && !right) || (!corners && down && right)) continue;
          if (y + down < 0 || y + down >= height || x + right < 0 || x + right >= width) continue;
          const next = at + down * width + right;
          if (data[next] !== id || pieces.data[next]) continue;
          pieces.data[next] = count;
          waiting[size++] = next;
        }
      }
    }
  }
  return pieces;
}

/** Fill the holes of a mask: background that no way along edges leads out of. */
export function fillHoles(mask: Mask): Mask {
  const { height, width } = mask;
  const outside = numberPieces({ height, width, data: mask.data.map((inside) => 1 - inside) }, false);
  const open = new Uint8Array(maxId(outside) + 1);
  for (let x = 0; x < width; x++) open[outside.data[x]] = open[outside.data[(height - 1) * width + x]] = 1;
  for (let y = 0; y < height; y++) open[outside.data[y * width]] = open[outside.data[y * width + width - 1]] = 1;
  const data = mask.data.map((inside, at) => (inside || !open[outside.data[at]] ? 1 : 0));
  return { height, width, data };
}
