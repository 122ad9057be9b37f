/** Labels and map that operations work on; they change nothing of it. */
import { InputError } from "../numerics/errors";
import { cellAreas, windowOf } from "../numerics/labels";
import { marked, type DistanceMap, type Labels, type Mask, type Window } from "../numerics/plane";
import type { Point } from "../backend";
import type { Change } from "./change";
import type { Pixel } from "./growing";

/** Result of an operation on a scene. */
export interface Outcome {
  change: Change;
  /** Cells that it made or changed, and that are still there. */
  ids: number[];
  notes: string[];
}

export class Scene {
  constructor(
    readonly labels: Labels,
    /** The id of the next new cell, above all that were ever there. */
    readonly nextId: number,
    readonly map: DistanceMap | null,
  ) {}

  idAt([row, column]: Pixel): number {
    return this.labels.data[row * this.labels.width + column];
  }

  /** Return the pixel that a point lies in. */
  pixel(point: Point, name: string): Pixel {
    const { height, width } = this.labels;
    const [row, column] = [Math.floor(point[0] + 0.5), Math.floor(point[1] + 0.5)];
    if (row >= 0 && row < height && column >= 0 && column < width) return [row, column];
    throw new InputError(
      `${name} is (${shown(point[0])}, ${shown(point[1])}), expected row and column of a pixel of an image of ` +
        `${height}×${width}`,
    );
  }

  /** Raise if one of the ids is not a cell of the image. */
  checkCells(ids: readonly number[]): void {
    const areas = cellAreas(this.labels);
    const missing = ids.filter((id) => !(areas[id] > 0));
    if (!missing.length) return;
    const names = missing.slice(0, 5).join(", ") + (missing.length > 5 ? ` and ${missing.length - 5} more` : "");
    throw new InputError(`ids has ${names}, expected ids of cells of the image`);
  }

  /** Return the rows and columns that hold cells that are there, with a margin in pixels where the image has one. */
  windowOf(ids: readonly number[], margin = 0): Window {
    const window = windowOf(this.labels, ids, margin);
    if (!window) throw new Error("none of the cells is there");
    return window;
  }
}

/** Return the mask of the pixels of a label image that a test holds for. */
export function maskOf(labels: Labels, isIn: (id: number) => boolean): Mask {
  return { ...labels, data: marked(labels.data, isIn) };
}

/** Return a number as Python's format `g` shows it: 6 digits. */
function shown(value: number): string {
  return String(Number(value.toPrecision(6)));
}
