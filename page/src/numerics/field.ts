/**
 * Field of an image: the rectangle within constant margins, outside of which pixels are no image.
 *
 * Only whole lines are taken off, and margins that are a drawn image's background are kept; the rules are those
 * of `dinocell.io.field`.
 */
import { roundEven, wholeOf, type Plane, type Window } from "./plane";

/** Side in pixels of the smallest field. */
const MIN_SIDE = 64;

/** A margin whose value fills more of the field than this is background: it is kept. */
const BACKGROUND_SHARE = 0.05;

const NESTED = 3; // margins of different values that lie within each other, at most
const PATCHES = 16; // patches a side in which values of the field are counted
const PATCH = 64; // their side

type Sides = [number, number, number, number];

/** Find the field of a gray image: all of it where it has no margins. */
export function findField(gray: Plane): Window {
  const whole = wholeOf(gray);
  let field = whole;
  for (let round = 0; round < NESTED; round++) {
    const inner = withoutBackground(gray, field, peel(gray, field));
    const height = inner.bottom - inner.top;
    const width = inner.right - inner.left;
    if (Math.min(height, width) === 0) return whole; // a square of one value on a background
    const same = inner.top === field.top && inner.bottom === field.bottom && inner.left === field.left;
    if ((same && inner.right === field.right) || Math.min(height, width) < MIN_SIDE) break;
    field = inner;
  }
  return field;
}

interface Margins {
  /** Lines at the top, bottom, left and right. */
  depths: Sides;
  /** Their value; null where all is NaN. */
  values: (number | null)[];
}

function peel(gray: Plane, box: Window): Margins {
  const depths: Sides = [0, 0, 0, 0];
  const values: (number | null)[] = [null, null, null, null];
  for (let side = 0; side < 4; side++) {
    [depths[side], values[side]] = depthOf(gray, shrink(box, depths), side);
  }
  return { depths, values };
}

function shrink(box: Window, [top, bottom, left, right]: Sides): Window {
  return {
    top: box.top + top,
    bottom: box.bottom - bottom,
    left: box.left + left,
    right: box.right - right,
  };
}

/** Count the outer lines of a box at a side that hold one value, and find it. */
function depthOf(gray: Plane, box: Window, side: number): [number, number | null] {
  const height = box.bottom - box.top;
  const width = box.right - box.left;
  const [lines, length] = side < 2 ? [height, width] : [width, height];
  if (length < MIN_SIDE) return [0, null];
  let value: number | null = null;
  for (let line = 0; line < lines; line++) {
    const [low, high] = extremesOfLine(gray, box, side, line);
    if (value === null && low === high) value = low;
    if (low < high || (low === high && low !== value)) return [line, value];
  }
  return [lines, value];
}

/** Return the least and greatest finite value of a line from a side; the least is above where none is. */
function extremesOfLine(gray: Plane, box: Window, side: number, line: number): [number, number] {
  const across = side < 2;
  const at = [box.top + line, box.bottom - 1 - line, box.left + line, box.right - 1 - line][side];
  const [first, stop] = across ? [box.left, box.right] : [box.top, box.bottom];
  let low = Infinity;
  let high = -Infinity;
  for (let along = first; along < stop; along++) {
    const value = gray.data[across ? at * gray.width + along : along * gray.width + at];
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
    if (low < high) break;
  }
  return [low, high];
}

/** Cut the margins off a box, but for those whose value is common within. */
function withoutBackground(gray: Plane, box: Window, margins: Margins): Window {
  const inner = shrink(box, margins.depths);
  const smallest = Math.min(inner.bottom - inner.top, inner.right - inner.left);
  if (!margins.depths.some((depth) => depth > 0) || smallest < MIN_SIDE) return inner;
  const counts = new Map<number, number>();
  for (const value of margins.values) if (value !== null) counts.set(value, 0);
  let pixels = 0;
  for (const [top, bottom] of spans(inner.bottom - inner.top)) {
    for (const [left, right] of spans(inner.right - inner.left)) {
      for (let y = inner.top + top; y < inner.top + bottom; y++) {
        for (let x = inner.left + left; x < inner.left + right; x++) {
          const value = gray.data[y * gray.width + x];
          const count = counts.get(value);
          if (count !== undefined) counts.set(value, count + 1);
        }
      }
      pixels += (bottom - top) * (right - left);
    }
  }
  const kept = margins.depths.map((depth, side) => {
    const value = margins.values[side];
    return value !== null && (counts.get(value) ?? 0) > BACKGROUND_SHARE * pixels ? 0 : depth;
  });
  return shrink(box, kept as Sides);
}

/** List the spans of patches spread along a side, all of it where it is short. */
function spans(length: number): [number, number][] {
  const edges = Array.from({ length: PATCHES + 1 }, (_, part) => roundEven((length * part) / PATCHES));
  return edges.slice(0, -1).map((start, part) => [start, Math.min(edges[part + 1], start + PATCH)]);
}
