// Labels in memory with edits and undo; enough of them to try the page.
export class Labels {
  constructor(width, height, idAt) {
    Object.assign(this, { width, height, ids: new Uint32Array(width * height), done: [], undone: [] });
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) this.ids[row * width + column] = idAt(row, column);
  }

  at(row, column) {
    const [y, x] = [Math.round(row), Math.round(column)];
    return y < 0 || x < 0 || y >= this.height || x >= this.width ? 0 : this.ids[y * this.width + x];
  }

  newest() {
    return this.ids.reduce((most, id) => Math.max(most, id), 0);
  }

  /** Cells: id → number of pixels, sums of rows and columns, box. */
  cells() {
    const cells = new Map();
    this.ids.forEach((id, at) => {
      if (!id) return;
      const [row, column] = [Math.floor(at / this.width), at % this.width];
      const cell = cells.get(id) ?? { area: 0, rows: 0, columns: 0, box: [row, column, row + 1, column + 1] };
      cell.area++;
      cell.rows += row;
      cell.columns += column;
      cell.box = [
        Math.min(cell.box[0], row),
        Math.min(cell.box[1], column),
        Math.max(cell.box[2], row + 1),
        Math.max(cell.box[3], column + 1),
      ];
      cells.set(id, cell);
    });
    return new Map([...cells].sort(([one], [other]) => one - other));
  }

  /** Set pixels where `choose` returns another id than there is; returns the box of the change, kept for undo. */
  change(choose) {
    const changed = [];
    this.ids.forEach((id, at) => {
      const now = choose(id, Math.floor(at / this.width), at % this.width);
      if (now !== id) changed.push([at, id, now]);
    });
    if (!changed.length) return null;
    this.undone = [];
    this.done.push(changed);
    return this.put(changed, 2);
  }

  step(way) {
    const [from, to] = way === "undo" ? [this.done, this.undone] : [this.undone, this.done];
    const changed = from.pop();
    if (!changed) return null;
    to.push(changed);
    return this.put(changed, way === "undo" ? 1 : 2);
  }

  put(changed, which) {
    const box = [Infinity, Infinity, -1, -1];
    for (const pixel of changed) {
      this.ids[pixel[0]] = pixel[which];
      const [row, column] = [Math.floor(pixel[0] / this.width), pixel[0] % this.width];
      box[0] = Math.min(box[0], row);
      box[1] = Math.min(box[1], column);
      box[2] = Math.max(box[2], row + 1);
      box[3] = Math.max(box[3], column + 1);
    }
    return box;
  }

  /** Outline along the edges of pixels, ring by ring. */
  outline(id) {
    const next = new Map();
    const edge = (from, to) => next.set(String(from), [...(next.get(String(from)) ?? []), to]);
    this.ids.forEach((other, at) => {
      if (other !== id) return;
      const [row, column] = [Math.floor(at / this.width), at % this.width];
      if (this.at(row - 1, column) !== id) edge([row, column], [row, column + 1]);
      if (this.at(row, column + 1) !== id) edge([row, column + 1], [row + 1, column + 1]);
      if (this.at(row + 1, column) !== id) edge([row + 1, column + 1], [row + 1, column]);
      if (this.at(row, column - 1) !== id) edge([row + 1, column], [row, column]);
    });
    const parts = [];
    while (next.size) {
      const start = next.keys().next().value;
      const ring = [];
      for (let key = start; next.has(key); key = String(ring.at(-1))) {
        const ends = next.get(key);
        ring.push(ends.pop());
        if (!ends.length) next.delete(key);
      }
      parts.push([[...ring, ring[0]].map(([row, column]) => [row - 0.5, column - 0.5])]);
    }
    return { id, parts, box: this.cells().get(id)?.box ?? [0, 0, 0, 0] };
  }
}

const DISK = 14;

/** Do an edit; returns the cells that it made or changed, and the box of the change. */
export function applyEdit(labels, edit) {
  const fresh = labels.newest() + 1;
  if (edit.edit === "delete")
    return { ids: [], box: labels.change((id) => (edit.ids.includes(id) ? 0 : id)), notes: [] };
  if (edit.edit === "merge") {
    return {
      ids: [edit.ids[0]],
      box: labels.change((id) => (edit.ids.includes(id) ? edit.ids[0] : id)),
      notes: ["They do not touch: the cell has two parts"],
    };
  }
  if (edit.edit === "paint") {
    const pixels = new Set(
      edit.mask.flatMap(([row, first, count]) =>
        Array.from({ length: count }, (_, at) => row * labels.width + first + at),
      ),
    );
    const id = edit.id ?? fresh;
    return {
      ids: id ? [id] : [],
      box: labels.change((old, row, column) => (pixels.has(row * labels.width + column) ? id : old)),
      notes: [],
    };
  }
  if (edit.edit === "split") {
    const [one, other] = edit.line ? [edit.line[0], edit.line.at(-1)] : edit.points.map(([point]) => point);
    const middle = [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
    const cell = labels.at(...(edit.line ? middle : one));
    const across = edit.line ? [-(other[1] - one[1]), other[0] - one[0]] : [other[0] - one[0], other[1] - one[1]];
    const isBeyond = (row, column) => (row - middle[0]) * across[0] + (column - middle[1]) * across[1] > 0;
    return {
      ids: [cell, fresh],
      box: labels.change((id, row, column) => (id === cell && isBeyond(row, column) ? fresh : id)),
      notes: [],
    };
  }
  return {
    ids: [fresh],
    box: labels.change((id, row, column) => (id === 0 && isInside(edit, row, column) ? fresh : id)),
    notes: [],
  };
}

function isInside(edit, row, column) {
  if (edit.box)
    return row >= edit.box[0][0] && row <= edit.box[1][0] && column >= edit.box[0][1] && column <= edit.box[1][1];
  if (edit.points) return (row - edit.points[0][0]) ** 2 + (column - edit.points[0][1]) ** 2 <= DISK ** 2;
  return edit.outline.reduce((inside, [y, x], at) => {
    const [v, u] = edit.outline[(at + 1) % edit.outline.length];
    return y > row !== v > row && column < x + ((row - y) / (v - y)) * (u - x) ? !inside : inside;
  }, false);
}
