/** Meaning of keys at a point: some edit at once, others wait for a second point. */

import { BackendError, type Edit, type Point } from "../backend";

/** Keys that act at a point. */
export const POINT_KEYS = ["A", "S", "M", "D"] as const;

export type PointKey = (typeof POINT_KEYS)[number];

const FIRST = {
  S: (cell: number) => `Split cell ${cell}: point at its other half and press S, or click there`,
  M: (cell: number) => `Merge cell ${cell}: point at the cell that belongs to it and press M, or click it`,
};

export class Gestures {
  private waiting: { key: PointKey; point: Point; cell: number } | null = null;

  /** First point of two, where one was made. */
  get first(): Point | null {
    return this.waiting?.point ?? null;
  }

  /** Forget a first point. */
  reset(): void {
    this.waiting = null;
  }

  /**
   * Return the edit that a key means at a point, with words for it; null where a second point is awaited.
   *
   * @param cell Id at the point; 0 where there is none.
   */
  press(key: PointKey, cell: number, point: Point): { edit: Edit | null; said: string } {
    const before = this.waiting;
    this.waiting = null;
    if (key === "A") return { edit: { edit: "add", points: [point] }, said: "Added" };
    if (cell <= 0) {
      throw new BackendError("picture: there is no cell under the pointer, expected one; point at a cell, then press");
    }
    if (key === "D") return { edit: { edit: "delete", ids: [cell] }, said: `Deleted cell ${cell}` };
    if (before?.key !== key) {
      this.waiting = { key, point, cell };
      return { edit: null, said: FIRST[key](cell) };
    }
    if (key === "M") {
      return { edit: { edit: "merge", ids: [before.cell, cell] }, said: `Merged cells ${before.cell} and ${cell}` };
    }
    return { edit: { edit: "split", points: [[before.point], [point]] }, said: `Split cell ${cell}` };
  }
}
