/** Pixels inside of a ring: the way back from outlines. */
import type { Mask } from "../numerics/plane";
import type { Ring } from "./outlines";

const FAR = 2 ** 40; // coordinates beyond are brought back to it

/**
 * Fill a ring of corners [x, y] by the even-odd rule.
 *
 * A pixel is inside if its centre is; of centres on an edge, those on a left or upper one are. What lies outside the
 * image is cut off.
 */
export function fillRing(ring: Ring, height: number, width: number): Mask {
  const clip = (value: number): number => Math.min(Math.max(value, -FAR), FAR);
  const toggles = new Uint8Array(height * (width + 1));
  ring.forEach(([startX, startY], at) => {
    const [endX, endY] = ring[(at + 1) % ring.length].map(clip);
    const [x0, y0] = [clip(startX), clip(startY)];
    const inRows = (y: number): number => Math.min(Math.max(Math.ceil(y - 0.5), 0), height);
    // A row is crossed where its centre lies in [low, high).
    for (let row = inRows(Math.min(y0, endY)); row < inRows(Math.max(y0, endY)); row++) {
      const x = x0 + ((row + 0.5 - y0) / (endY - y0)) * (endX - x0);
      const column = Math.min(Math.max(Math.ceil(x - 0.5), 0), width);
      toggles[row * (width + 1) + column] ^= 1;
    }
  });
  const data = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    let inside = 0;
    for (let x = 0; x < width; x++) data[y * width + x] = inside ^= toggles[y * (width + 1) + x];
  }
  return { height, width, data };
}
