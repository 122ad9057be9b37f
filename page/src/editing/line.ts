/** A line of one pixel's width through corners, whose pixels touch at corners: as OpenCV draws it. */
import type { Mask } from "../numerics/plane";

type Corner = [number, number]; // x, y

/** Draw a line through corners [x, y], whole numbers, which may lie outside of the image. */
export function drawLine(corners: readonly Corner[], height: number, width: number): Mask {
  const drawn = { height, width, data: new Uint8Array(height * width) };
  for (let at = 0; at + 1 < corners.length; at++) drawSegment(drawn, corners[at], corners[at + 1]);
  return drawn;
}

function drawSegment(drawn: Mask, start: Corner, end: Corner): void {
  const clipped = clip(start, end, drawn.height, drawn.width);
  if (!clipped) return;
  let [[x, y], [endX, endY]] = clipped;
  if (endX < x) [x, y, endX, endY] = [endX, endY, x, y]; // always from left to right
  const [across, down] = [endX - x, Math.abs(endY - y)];
  const stepY = endY < y ? -1 : 1;
  const steep = down > across;
  const [long, short] = steep ? [down, across] : [across, down];
  let error = long - 2 * short;
  for (let count = long + 1; count > 0; count--) {
    drawn.data[y * drawn.width + x] = 1;
    const aside = error < 0;
    error += (aside ? 2 * long : 0) - 2 * short;
    if (steep || aside) y += stepY;
    if (!steep || aside) x += 1;
  }
}

/** Cut a segment at the edges of the image: first above and below, then left and right; null if all is outside. */
function clip(start: Corner, end: Corner, height: number, width: number): [Corner, Corner] | null {
  const [right, bottom] = [width - 1, height - 1];
  const sideways = ([x]: Corner): number => (x < 0 ? 1 : x > right ? 2 : 0);
  const upright = ([, y]: Corner): number => (y < 0 ? 4 : y > bottom ? 8 : 0);
  let [one, other]: Corner[] = [[...start], [...end]];
  const outside = (): [number, number] => [sideways(one) | upright(one), sideways(other) | upright(other)];
  const cutAt = (axis: 0 | 1, corner: Corner, limit: number): Corner => {
    const rest = 1 - axis;
    const moved = Math.trunc(((limit - corner[axis]) * (other[rest] - one[rest])) / (other[axis] - one[axis]));
    const found: Corner = [...corner];
    found[axis] = limit;
    found[rest] += moved;
    return found;
  };
  let [first, second] = outside();
  if (first & second) return null;
  if (upright(one)) one = cutAt(1, one, upright(one) === 4 ? 0 : bottom);
  if (upright(other)) other = cutAt(1, other, upright(other) === 4 ? 0 : bottom);
  [first, second] = [sideways(one), sideways(other)];
  if (first & second) return null;
  if (first) one = cutAt(0, one, first === 1 ? 0 : right);
  if (second) other = cutAt(0, other, second === 1 ? 0 : right);
  return [one, other];
}
