/** Filter of a table: one column, one comparison, one number or text. */

import type { CellTable } from "../backend";

export const OPERATORS = [">", "≥", "<", "≤", "=", "≠"] as const;

export type Operator = (typeof OPERATORS)[number];

export interface Filter {
  column: string;
  operator: Operator;
  value: string;
}

type Value = CellTable["columns"][string][number];

/** Return whether a value passes; one that is missing passes nothing. */
export function passes(value: Value, { operator, value: text }: Pick<Filter, "operator" | "value">): boolean {
  if (value === null) return false;
  if (typeof value !== "number") {
    const isEqual = String(value) === text.trim();
    return operator === "=" ? isEqual : operator === "≠" && !isEqual;
  }
  const bound = Number(text);
  switch (operator) {
    case ">":
      return value > bound;
    case "≥":
      return value >= bound;
    case "<":
      return value < bound;
    case "≤":
      return value <= bound;
    case "=":
      return value === bound;
    case "≠":
      return value !== bound;
  }
}

/** Return why a filter cannot be used with a table; null where it can. */
export function problemOf(filter: Filter, table: CellTable): string | null {
  const values = table.columns[filter.column];
  if (!values) return `filter: the cells have no ${filter.column}, expected a column of the table; choose one`;
  if (filter.value.trim() === "") return `filter: the value is empty, expected a number; write one`;
  const isNumbers = values.every((value) => value === null || typeof value === "number");
  if (isNumbers && !Number.isFinite(Number(filter.value))) {
    return `filter: ${filter.value} is not a number, expected one as ${filter.column} has; write a number`;
  }
  return null;
}
