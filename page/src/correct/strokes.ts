/** Strokes of a brush, as runs of pixels. */

import type { Point } from "../backend";

/** Row, first column and number of pixels. */
export type Run = [number, number, number];

/**
 * Return the pixels whose centres lie within half of the brush of a stroke, as runs by row; never beyond the image.
 *
 * @param stroke Points through which the middle of the brush went.
 * @param brush Diameter in pixels; one of 1 paints the pixel under each point.
 */
export function runsOf(stroke: Point[], brush: number, width: number, height: number): Run[] {
  const rows = new Map<number, [number, number][]>();
  const radius = brush <= 1 ? 0.5 : brush / 2;
  stroke.forEach((point, at) => coverPart(rows, stroke[Math.max(at - 1, 0)], point, radius));
  const runs: Run[] = [];
  for (const [row, spans] of [...rows].sort(([one], [other]) => one - other)) {
    if (row < 0 || row >= height) continue;
    for (const [first, last] of joined(spans)) {
      const [from, to] = [Math.max(first, 0), Math.min(last, width - 1)];
      if (from <= to) runs.push([row, from, to - from + 1]);
    }
  }
  return runs;
}

/** Add the columns within a distance of the line between two points, row by row. */
function coverPart(rows: Map<number, [number, number][]>, from: Point, to: Point, radius: number): void {
  const [top, bottom] = [Math.min(from[0], to[0]) - radius, Math.max(from[0], to[0]) + radius];
  for (let row = Math.ceil(top); row <= Math.floor(bottom); row++) {
    const span = spanOf(row, from, to, radius);
    if (!span) continue;
    const [first, last] = [Math.ceil(span[0]), Math.floor(span[1])];
    if (first > last) continue;
    const spans = rows.get(row);
    if (spans) spans.push([first, last]);
    else rows.set(row, [[first, last]]);
  }
}

/** Return the columns, from and to, in which a row lies within a distance of a line: its ends are disks, between is a band. */
function spanOf(row: number, from: Point, to: Point, radius: number): [number, number] | null {
  let span: [number, number] | null = null;
  const widen = (first: number, last: number) => {
    span = span ? [Math.min(span[0], first), Math.max(span[1], last)] : [first, last];
  };
  for (const [y, x] of [from, to]) {
    const half = radius ** 2 - (row - y) ** 2;
    if (half >= 0) widen(x - Math.sqrt(half), x + Math.sqrt(half));
  }
  const [down, across] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(down, across);
  if (length === 0) return span;
  // The band's four corners; a row cuts its convex outline in at most two columns.
  const [v, u] = [(across / length) * radius, (-down / length) * radius];
  const corners: Point[] = [
    [from[0] + v, from[1] + u],
    [to[0] + v, to[1] + u],
    [to[0] - v, to[1] - u],
    [from[0] - v, from[1] - u],
  ];
  corners.forEach((one, at) => {
    const other = corners[(at + 1) % corners.length];
    if ((one[0] - row) * (other[0] - row) > 0 || one[0] === other[0]) return;
    const column = one[1] + ((row - one[0]) / (other[0] - one[0])) * (other[1] - one[1]);
    widen(column, column);
  });
  return span;
}

/** Return spans without overlaps, in order. */
function joined(spans: [number, number][]): [number, number][] {
  const result: [number, number][] = [];
  for (const [first, last] of spans.sort((one, other) => one[0] - other[0])) {
    const before = result.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else result.push([first, last]);
  }
  return result;
}
