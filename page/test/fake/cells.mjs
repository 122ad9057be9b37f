// Made-up cells on a jittered grid: every pixel's id and brightness follow from its place alone, so no image is held.
const PITCH = 44;

function noise(a, b, c = 0) {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x7f4a7c15, 0xc2b2ae35) ^ Math.imul(c + 1, 0x27d4eb2f);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  h ^= h >>> 12;
  return (h >>> 0) / 2 ** 32;
}

/** Return the cell of a place on the grid: its id, centre, radii and how sure it is. */
function cellOf(gridRow, gridColumn, columns) {
  return {
    id: gridRow * columns + gridColumn + 1,
    row: (gridRow + 0.5 + 0.22 * (noise(gridRow, gridColumn) - 0.5)) * PITCH,
    column: (gridColumn + 0.5 + 0.22 * (noise(gridRow, gridColumn, 1) - 0.5)) * PITCH,
    down: PITCH * (0.32 + 0.24 * noise(gridRow, gridColumn, 2)),
    across: PITCH * (0.32 + 0.24 * noise(gridRow, gridColumn, 3)),
  };
}

/** Return the box of a cell, for an image that is too large to look for it. */
export function boxOf(id, width) {
  const columns = Math.floor(width / PITCH);
  const { row, column, down, across } = cellOf(Math.floor((id - 1) / columns), (id - 1) % columns, columns);
  return [row - down, column - across, row + down, column + across].map(Math.round);
}

/** Return an image's cells as a function of a row and column: [id, how deep inside the cell from 0 to 1]. */
export function cellsAt(width, height) {
  const [rows, columns] = [Math.floor(height / PITCH), Math.floor(width / PITCH)];
  return (row, column) => {
    const [gridRow, gridColumn] = [Math.floor(row / PITCH), Math.floor(column / PITCH)];
    let best = [0, 0];
    for (let y = gridRow - 1; y <= gridRow + 1; y++) {
      for (let x = gridColumn - 1; x <= gridColumn + 1; x++) {
        if (y < 0 || x < 0 || y >= rows || x >= columns || noise(y, x, 9) < 0.12) continue;
        const cell = cellOf(y, x, columns);
        const depth = 1 - ((row - cell.row) / cell.down) ** 2 - ((column - cell.column) / cell.across) ** 2;
        if (depth > best[1]) best = [cell.id, depth];
      }
    }
    return best;
  };
}

/** Return the brightness of a pixel of a channel, from 0 to 1. */
export function brightness(depth, row, column, channel) {
  const grain = 0.06 * noise(row, column, 20 + channel);
  const inside = channel === 0 ? Math.sqrt(Math.max(depth, 0)) : Math.max(depth - 0.55, 0) * 2;
  return Math.min(0.08 + grain + 0.75 * inside, 1);
}

export const confidenceOf = (id) => Math.round(1000 * (0.35 + 0.64 * noise(id, 77))) / 1000;
