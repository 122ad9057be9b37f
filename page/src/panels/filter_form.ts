/** Form of the filter: a column, a comparison, a value. */

import { button, choice, element, fillChoice } from "../elements/element";
import { say, type Session } from "../state/session";
import { type Filter, OPERATORS, type Operator, problemOf } from "../table/filter";
import { columnsOf, sizeColumn } from "../table/order";

export function filterForm(session: Session): HTMLElement {
  const { store } = session;
  const column = choice([], () => undefined, { attributes: { "aria-label": "Column to filter by" } });
  const operator = choice(
    OPERATORS.map((sign) => [sign, sign]),
    () => undefined,
    { attributes: { "aria-label": "Comparison" } },
  );
  const value = element("input", {
    attributes: { type: "text", inputmode: "decimal", placeholder: "200", "aria-label": "Value to compare with" },
  });
  const clear = button(
    "×",
    () => {
      store.set({ filter: null });
      value.value = "";
    },
    { class: "small quiet", title: "Clear the filter", attributes: { "aria-label": "Clear the filter" } },
  );
  const use = element("button", { class: "small", text: "Filter", attributes: { type: "submit" } });
  const form = element(
    "form",
    { class: "filter", attributes: { "aria-label": "Filter" } },
    column,
    operator,
    value,
    use,
    clear,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    useFilter(session, { column: column.value, operator: operator.value as Operator, value: value.value });
  });
  store.watch(["table", "filter"], ({ table, filter }) => {
    form.hidden = !table;
    clear.hidden = !filter;
    const names = columnsOf(table);
    const isFirst = column.options.length === 0;
    fillChoice(
      column,
      names.map((name) => [name, name]),
    );
    if (isFirst && names.length) column.value = sizeColumn(names);
  });
  return form;
}

function useFilter(session: Session, filter: Filter): void {
  const { table } = session.store.state;
  if (!table) return;
  const problem = problemOf(filter, table);
  if (problem) say(session, problem, true);
  else session.store.set({ filter, column: filter.column });
}
