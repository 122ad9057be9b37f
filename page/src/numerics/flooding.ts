/** Flood of a watershed: every pixel of a mask goes to the marker that reaches it first. */
import type { Labels, Plane } from "./plane";
import { PixelQueue } from "./queue";

/**
 * Flood a mask downhill from markers.
 *
 * Of the pixels reached, the highest goes on first; of equal ones, markers in row-major order, the rest in order
 * of arrival. Neighbours are reached up, left, right, down, then by the diagonals in row-major order. A pixel that
 * rises above the flood counts as level with it.
 *
 * @param heights Finite; every marker pixel is higher than every other pixel of the mask.
 * @param markers Ids; those outside the mask are left out.
 * @param mask 1 for what may be flooded.
 * @returns The id of the marker that reached each pixel, 0 where none did.
 */
export function flood(heights: Plane<Float32Array>, markers: Labels, mask: Uint8Array): Labels {
  const { height, width } = heights;
  // A border of one pixel that is not free, so that no step leaves the image.
  const wide = width + 2;
  const free = new Uint8Array(wide * (height + 2));
  const labels = new Int32Array(free.length);
  const levels = new Float32Array(free.length);
  const seeds: number[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = y * width + x;
      if (!mask[from]) continue;
      const at = (y + 1) * wide + x + 1;
      levels[at] = heights.data[from];
      labels[at] = markers.data[from];
      if (labels[at]) seeds.push(at);
      else free[at] = 1;
    }
  }
  const steps = [-wide, -1, 1, wide, -wide - 1, 1 - wide, wide - 1, wide + 1];
  const queue = new PixelQueue(free.length);
  const goOn = (from: number, level: number): void => {
    for (const step of steps) {
      const reached = from + step;
      if (!free[reached]) continue;
      free[reached] = 0;
      labels[reached] = labels[from];
      queue.push(reached, Math.min(levels[reached], level));
    }
  };
  seeds.sort((a, b) => levels[b] - levels[a]); // stable: of equal ones in row-major order
  for (const seed of seeds) goOn(seed, Infinity);
  while (queue.length) {
    const level = queue.highest;
    goOn(queue.pop(), level);
  }
  const found = new Int32Array(height * width);
  for (let y = 0; y < height; y++) {
    const begin = (y + 1) * wide + 1;
    found.set(labels.subarray(begin, begin + width), y * width);
  }
  return { height, width, data: found };
}
