/** Change of a label image: the pixels of a window before and after. */
import { InputError } from "../numerics/errors";
import { cut, paste, type Labels, type Window } from "../numerics/plane";

/** Row, first column, number of pixels and new id of pixels beside each other. */
export type Run = [number, number, number, number];

const MAX_ID = 2 ** 31 - 1;

export class Change {
  private constructor(
    /** Empty where nothing changed. */
    readonly window: Window,
    readonly before: Labels,
    readonly after: Labels,
  ) {}

  /** Compare a window of a label image with what it shall become, and keep the part that differs. */
  static of(labels: Labels, window: Window, after: Labels): Change {
    const { width } = after;
    let [top, bottom, left, right] = [after.height, 0, width, 0];
    for (let y = 0; y < after.height; y++) {
      const begin = (window.top + y) * labels.width + window.left;
      for (let x = 0; x < width; x++) {
        if (labels.data[begin + x] === after.data[y * width + x]) continue;
        [top, bottom] = [Math.min(top, y), y + 1];
        [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
      }
    }
    if (bottom === 0) {
      const none = { height: 0, width: 0, data: new Int32Array(0) };
      return new Change({ top: 0, bottom: 0, left: 0, right: 0 }, none, none);
    }
    const part = { top, bottom, left, right };
    const place = {
      top: window.top + top,
      bottom: window.top + bottom,
      left: window.left + left,
      right: window.left + right,
    };
    return new Change(place, copy(cut(labels, place)), copy(cut(after, part)));
  }

  /** Read a change off runs: row, first column, number and new id of pixels. */
  static fromRuns(labels: Labels, runs: readonly Run[]): Change {
    const { height, width } = labels;
    for (const run of runs) {
      const [row, first, count, id] = run;
      const whole = run.every(Number.isInteger);
      const inside = row >= 0 && row < height && first >= 0 && count > 0 && count <= width - first;
      if (whole && inside && id >= 0 && id <= MAX_ID) continue;
      throw new InputError(
        `pixels [${run.join(", ")}] are none of an image of ${height}×${width}, expected row, first column, ` +
          "number and id",
      );
    }
    const window = { top: height, bottom: 0, left: width, right: 0 };
    for (const [row, first, count] of runs) {
      window.top = Math.min(window.top, row);
      window.bottom = Math.max(window.bottom, row + 1);
      window.left = Math.min(window.left, first);
      window.right = Math.max(window.right, first + count);
    }
    const after = copy(cut(labels, window));
    for (const [row, first, count, id] of runs) {
      const begin = (row - window.top) * after.width + first - window.left;
      after.data.fill(id, begin, begin + count);
    }
    return Change.of(labels, window, after);
  }

  get isEmpty(): boolean {
    return !this.after.data.length;
  }

  /** Return the pixels that changed, with their new ids, as runs along rows. */
  runs(): Run[] {
    const runs: Run[] = [];
    const { height, width, data } = this.after;
    for (let y = 0; y < height; y++) {
      let last: Run | null = null;
      for (let x = 0; x < width; x++) {
        const id = data[y * width + x];
        if (id === this.before.data[y * width + x]) {
          last = null;
        } else if (last && last[3] === id) {
          last[2]++;
        } else {
          runs.push((last = [this.window.top + y, this.window.left + x, 1, id]));
        }
      }
    }
    return runs;
  }

  apply(labels: Labels): void {
    paste(labels, this.window, this.after);
  }

  /** Return the change back. */
  inverse(): Change {
    return new Change(this.window, this.after, this.before);
  }
}

function copy(labels: Labels): Labels {
  return { ...labels, data: labels.data.slice() };
}
