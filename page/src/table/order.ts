/** Which rows of a table are shown, and in which order. */

import type { CellTable } from "../backend";
import { type Filter, passes, problemOf } from "./filter";

export interface Sorting {
  column: string;
  isDescending: boolean;
}

const FIRST = ["id", "confidence"];

/** Return the columns of a table, the most asked for first. */
export function columnsOf(table: CellTable | null): string[] {
  const names = Object.keys(table?.columns ?? {});
  return [...FIRST.filter((name) => names.includes(name)), ...names.filter((name) => !FIRST.includes(name))];
}

/** Return the column that holds how large cells are; else the first of those. */
export function sizeColumn(names: readonly string[]): string {
  return names.find((name) => name.startsWith("area")) ?? names[0];
}

/** Return the columns of a table that hold numbers, without the ids. */
export function numberColumns(table: CellTable | null): string[] {
  return columnsOf(table).filter(
    (name) => name !== "id" && table?.columns[name].some((value) => typeof value === "number"),
  );
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
