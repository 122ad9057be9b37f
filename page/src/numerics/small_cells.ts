/** Cells that are too small to be cells: removed below a number of pixels, or a share of the median cell. */
import { cellAreas, renumber, type Target } from "./labels";
import { median, type Labels } from "./plane";

/** Number of pixels below which cells are removed; `auto` takes a share of the image's median cell. */
export type MinSize = number | "auto";

/** With `auto`, a cell has at least this part of the median area. */
const SMALLEST_PART: Record<Target, number> = { cells: 10, nuclei: 50 };

export interface Kept {
  labels: Labels;
  /** Pixels below which cells were removed. */
  minSize: number;
  /** Number of those. */
  removed: number;
}

/** Remove cells that are too small, and renumber the others 1…N in the order of their ids. */
export function removeSmall(labels: Labels, asked: MinSize, target: Target): Kept {
  const areas = cellAreas(labels).subarray(1);
  const typical = median(areas);
  const auto = Number.isNaN(typical) ? 0 : Math.ceil(typical / SMALLEST_PART[target]);
  const minSize = asked === "auto" ? auto : asked;
  const removed = areas.filter((area) => area < minSize).length;
  return { labels: removed ? renumber(labels, minSize) : labels, minSize, removed };
}
