/** Thresholds: four numbers that turn a distance map into labels. */
import { InputError } from "./errors";

export interface Thresholds {
  /** Pixels above it are markers. */
  cells_max_threshold: number;
  /** Pixels above it belong to cells. */
  cell_fill_threshold: number;
  /** Two basins whose saddle reaches this share of the lower peak are one cell; 1 merges none. */
  merge: number;
  /** Whether cells grow back by the boundary that `cell_fill_threshold` cut. */
  regrow: boolean;
}

/** Return thresholds with those replaced that are given. */
export function replaced(base: Thresholds, given: Partial<Thresholds>): Thresholds {
  const changed = { ...base };
  for (const name of ["cells_max_threshold", "cell_fill_threshold", "merge"] as const) {
    const value = given[name];
    if (value === undefined || value === null) continue;
    if (!(value >= 0 && value <= 1)) throw new InputError(`${name} is ${value}, expected a number from 0 to 1`);
    changed[name] = value;
  }
  if (typeof given.regrow === "boolean") changed.regrow = given.regrow;
  return changed;
}
