/** Cells of a label image as runs of equal pixels along its rows. */
import type { Labels } from "../numerics/plane";

/** Pixels of one cell: runs in reading order, each with its row, first and last column. */
export interface CellRuns {
  id: number;
  rows: number[];
  left: number[];
  right: number[];
}

/** Cut a label image into the runs of its cells, by rising id. */
export function cellRuns(labels: Labels): CellRuns[] {
  const found = new Map<number, CellRuns>();
  const { height, width, data } = labels;
  for (let y = 0; y < height; y++) {
    const row = y * width;
    for (let x = 0; x < width; ) {
      const begin = x;
      const id = data[row + x];
      while (x < width && data[row + x] === id) x++;
      if (id <= 0) continue;
      let runs = found.get(id);
      if (!runs) found.set(id, (runs = { id, rows: [], left: [], right: [] }));
      runs.rows.push(y);
      runs.left.push(begin);
      runs.right.push(x - 1);
    }
  }
  return [...found.values()].sort((a, b) => a.id - b.id);
}
