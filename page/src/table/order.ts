/** Which rows of a table are shown, and in which order. */

import type { CellTable } from "../backend";
import { type Filter, passes, problemOf } from "./filter";

export interface Sorting {
  column: string;
  isDescending: boolean;
}

/** Return the numbers of rows that pass the filter, sorted; equal ones stay as they are, missing values come last. */
export function orderRows(table: CellTable, filter: Filter | null, sorting: Sorting): Uint32Array {
  const count = table.columns.id?.length ?? 0;
  let rows = Uint32Array.from({ length: count }, (_, row) => row);
  if (filter && !problemOf(filter, table)) {
    const tested = table.columns[filter.column];
    rows = rows.filter((row) => passes(tested[row], filter));
  }
  const values = table.columns[sorting.column];
  if (!values) return rows;
  const sign = sorting.isDescending ? -1 : 1;
  return rows.sort((one, other) => compare(values[one], values[other], sign) || one - other);
}

function compare(one: unknown, other: unknown, sign: number): number {
  const [oneMissing, otherMissing] = [isMissing(one), isMissing(other)];
  if (oneMissing || otherMissing) return Number(oneMissing) - Number(otherMissing);
  if (typeof one === "number" && typeof other === "number") return sign * (one - other);
  return sign * String(one).localeCompare(String(other), "en");
}

function isMissing(value: unknown): boolean {
  return value === null || value === undefined || (typeof value === "number" && Number.isNaN(value));
}
