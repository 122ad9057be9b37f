/** Panel of cells: table, filter, histogram. */

import { button, choice, element, fillChoice, field } from "../elements/element";
import { NARROW } from "../elements/widths";
import type { Session } from "../state/session";
import { histogramOf } from "../table/histogram";
import { counted, countOf, textOf } from "../table/numbers";
import { numberColumns, orderRows, sizeColumn } from "../table/order";
import { CellsTable } from "./cells_table";
import { filterForm } from "./filter_form";
import { histogramChart } from "./histogram_chart";

const BINS = 40;

export function cellsPanel(session: Session, goTo: (cell: number) => void): HTMLElement {
  const { store } = session;
  const table = new CellsTable({
    onSort: (column) =>
      store.set({
        sorting: { column, isDescending: store.state.sorting.column === column && !store.state.sorting.isDescending },
      }),
    onSelect: (cell) => {
      store.set({ selected: cell });
      goTo(cell);
    },
  });
  const count = element("p", { class: "found" });
  const least = button("Least certain first", () =>
    store.set({ sorting: { column: "confidence", isDescending: false } }),
  );
  store.watch(["table", "filter", "sorting", "result"], (state) => {
    const rows = state.table ? orderRows(state.table, state.filter, state.sorting) : new Uint32Array();
    const all = state.table?.columns.id.length ?? 0;
    count.textContent = state.table
      ? rows.length === all
        ? counted(all, "cell")
        : `${countOf(rows.length)} of ${counted(all, "cell")}`
      : state.result
        ? "Measuring …"
        : "Segment an image first.";
    least.hidden = !state.table?.columns.confidence;
    table.root.hidden = !state.table;
    table.show(state.table, rows, state.sorting);
  });
  store.watch(["selected", "table"], ({ selected }) => table.select(selected));
  const head = element("div", { class: "row between" }, count, least);
  return element("div", { class: "cells" }, head, filterForm(session), histogramPart(session), table.root);
}

function histogramPart(session: Session): HTMLElement {
  const { store } = session;
  const select = choice([], (column) => store.set({ column }));
  const chart = element("div", { class: "chart" });
  const part = element(
    "details",
    { class: "part histogram-part" },
    element("summary", { text: "Histogram" }),
    field("Column", select),
    chart,
  );
  // Where it is narrow, the table needs the room more.
  part.open = !window.matchMedia(NARROW).matches;
  store.watch(["table", "column", "filter"], ({ table, column, filter }) => {
    const columns = numberColumns(table);
    part.hidden = !columns.length;
    if (!table || !columns.length) return;
    fillChoice(
      select,
      columns.map((name) => [name, name]),
    );
    const shown = column && columns.includes(column) ? column : sizeColumn(columns);
    select.value = shown;
    const histogram = histogramOf(table.columns[shown], BINS);
    if (!histogram) return;
    const ends = element(
      "div",
      { class: "row between hint" },
      element("span", { text: textOf(histogram.low) }),
      element("span", { text: textOf(histogram.high) }),
    );
    chart.replaceChildren(histogramChart(histogram, filter, shown), ends);
  });
  return part;
}
