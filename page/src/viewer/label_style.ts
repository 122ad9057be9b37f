/** How labels are painted, of what is chosen and what the table says. */

import type { CellTable } from "../backend";
import type { State } from "../state/state";
import { passes, problemOf } from "../table/filter";
import { coloursByValue, endsOf } from "./colours";
import type { LabelStyle } from "./label_painting";

/** Return the column that the colours show, with the values at its ends; null where cells have colours of their own. */
export function colouring(state: Readonly<State>): { column: string; ends: [number, number] } | null {
  const column = state.labels.colourBy;
  const values = column === null ? undefined : state.table?.columns[column];
  return column === null || !values ? null : { column, ends: endsOf(column, values) };
}

/** Return the style of the shown labels. */
export function labelStyle(state: Readonly<State>): LabelStyle {
  const { table, labels, filter } = state;
  const by = colouring(state);
  return {
    shape: labels.shape === "outline" ? "outline" : "fill",
    colours: table && by ? coloursByValue(table.columns.id, table.columns[by.column], by.ends) : null,
    kept: table && filter && !problemOf(filter, table) ? keptCells(table, filter) : null,
  };
}

function keptCells(table: CellTable, filter: NonNullable<State["filter"]>): Set<number> {
  const values = table.columns[filter.column];
  return new Set(table.columns.id.filter((_, row) => passes(values[row], filter)).map(Number));
}
