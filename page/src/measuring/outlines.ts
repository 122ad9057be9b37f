/** Outlines of cells as polygons along the edges of pixels. */
import { cellIds, numberPieces } from "../numerics/labels";
import { zeros, type Labels } from "../numerics/plane";

/** Corners [x, y]: the pixel of row r and column c covers [c, c + 1] × [r, r + 1]. */
export type Ring = [number, number][];

/** Rings of one piece of a cell: its outside, then its holes. */
export type Polygon = Ring[];

/**
 * Trace every cell along the edges of its pixels, by rising id.
 *
 * A piece is what hangs together by sides of pixels. Outsides run clockwise as displayed, holes the other way round;
 * no ring crosses or touches itself, and no corner lies on a straight line between its neighbours.
 */
export function cellPolygons(labels: Labels): Map<number, Polygon[]> {
  const polygons = new Map<number, Polygon[]>();
  for (const id of cellIds(labels)) polygons.set(id, []);
  const outsides = new Map<number, Polygon>();
  const holes = new Map<number, Ring[]>();
  for (const [piece, ring] of trace(withMargin(numberPieces(labels, false)))) {
    for (const loop of simpleLoops(ring)) {
      if (doubledArea(loop) > 0) outsides.set(piece, [loop]);
      else holes.set(piece, [...(holes.get(piece) ?? []), loop]);
    }
  }
  for (const [piece, polygon] of outsides) {
    const [x, y] = polygon[0][0];
    polygons.get(labels.data[y * labels.width + x])?.push([...polygon, ...(holes.get(piece) ?? [])]);
  }
  return polygons;
}

function withMargin(pieces: Labels): Labels {
  const wide = zeros(pieces.height + 2, pieces.width + 2);
  for (let y = 0; y < pieces.height; y++) {
    const row = pieces.data.subarray(y * pieces.width, (y + 1) * pieces.width);
    wide.data.set(row, (y + 1) * wide.width + 1);
  }
  return wide;
}

/**
 * Follow the boundaries of all pieces, the piece on the right hand; pieces have a margin of 0.
 *
 * An edge is a pixel and a direction: 0 right along its upper side, 1 down its right side, 2 left along its lower
 * side, 3 up its left side. It turns left where the pixel ahead to its left is of the piece, goes straight on where
 * the pixel ahead is, and turns right otherwise.
 */
function* trace(pieces: Labels): Generator<[number, Ring]> {
  const { data, width } = pieces;
  const steps = [1, width, -1, -width];
  const seen = new Uint8Array(4 * data.length);
  for (let pixel = width; pixel < data.length - width; pixel++) {
    if (!data[pixel]) continue;
    for (let begin = 0; begin < 4; begin++) {
      if (seen[4 * pixel + begin] || data[pixel + steps[(begin + 3) % 4]] === data[pixel]) continue;
      yield [data[pixel], follow(data, width, steps, seen, pixel, begin)];
    }
  }
}

function follow(
  data: Int32Array,
  width: number,
  steps: number[],
  seen: Uint8Array,
  pixel: number,
  direction: number,
): Ring {
  const piece = data[pixel];
  const ring: Ring = [];
  const start = 4 * pixel + direction;
  let before = -1;
  for (let edge = start; !seen[edge]; edge = 4 * pixel + direction) {
    seen[edge] = 1;
    if (before !== direction && before >= 0) ring.push(cornerOf(pixel, direction, width));
    before = direction;
    const ahead = pixel + steps[direction];
    const left = (direction + 3) % 4;
    if (data[ahead] !== piece) direction = (direction + 1) % 4;
    else if (data[ahead + steps[left]] === piece) [pixel, direction] = [ahead + steps[left], left];
    else pixel = ahead;
  }
  // The edge that began the ring is a corner where the last one had another direction.
  if (before !== start % 4) ring.unshift(cornerOf(start >> 2, start % 4, width));
  return ring;
}

/** Return where an edge begins, without the margin. */
function cornerOf(pixel: number, direction: number, width: number): [number, number] {
  const row = Math.floor(pixel / width);
  const right = direction === 1 || direction === 2 ? 1 : 0;
  return [(pixel % width) - 1 + right, row - 1 + (direction >= 2 ? 1 : 0)];
}

/** Split a ring where it comes back to a corner, so that no loop touches itself. */
function* simpleLoops(ring: Ring): Generator<Ring> {
  const path: Ring = [];
  const places = new Map<string, number>();
  for (const corner of ring) {
    const start = places.get(String(corner));
    if (start === undefined) {
      places.set(String(corner), path.length);
      path.push(corner);
      continue;
    }
    yield path.slice(start);
    for (const dropped of path.splice(start + 1)) places.delete(String(dropped));
  }
  yield path;
}

function doubledArea(ring: Ring): number {
  return ring.reduce((sum, [x, y], at) => {
    const [nextX, nextY] = ring[(at + 1) % ring.length];
    return sum + x * nextY - y * nextX;
  }, 0);
}
