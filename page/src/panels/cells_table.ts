/** Table of cells, of which only the rows in view are in the page. */

import type { CellTable } from "../backend";
import { button, element } from "../elements/element";
import { roveFocus } from "../elements/roving";
import { textOf } from "../table/numbers";
import { columnsOf, type Sorting } from "../table/order";

const ROW = 26;
/** Rows beyond either edge that are there before they are scrolled to. */
const SPARE = 8;
const WIDTHS = { least: 64, letter: 7.4, sides: 34 };

export interface CellsTableListener {
  onSort(column: string): void;
  onSelect(cell: number): void;
}

export class CellsTable {
  readonly root = element("div", {
    class: "table",
    attributes: { role: "grid", tabindex: "0", "aria-label": "Cells" },
  });
  private readonly head = element("div", { class: "table-head", attributes: { role: "row", "aria-rowindex": "1" } });
  private readonly body = element("div", { class: "table-body", attributes: { role: "rowgroup" } });
  private table: CellTable | null = null;
  private rows: Uint32Array = new Uint32Array();
  private names: string[] = [];
  private columns = "";
  private sorting: Sorting | null = null;
  private selected: number | null = null;

  constructor(private readonly listener: CellsTableListener) {
    this.root.append(element("div", { class: "table-group", attributes: { role: "rowgroup" } }, this.head), this.body);
    roveFocus(this.head);
    this.root.addEventListener("scroll", () => this.draw(), { passive: true });
    this.root.addEventListener("keydown", (event) => this.step(event));
    this.body.addEventListener("click", (event) => {
      const row = (event.target as HTMLElement).closest<HTMLElement>("[data-cell]");
      if (row) this.listener.onSelect(Number(row.dataset.cell));
    });
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  /** Show these rows of a table, in their order; from the first where the order is another one. */
  show(table: CellTable | null, rows: Uint32Array, sorting: Sorting): void {
    this.table = table;
    this.rows = rows;
    this.names = columnsOf(table);
    this.columns = this.names
      .map((name) => `${Math.round(Math.max(WIDTHS.least, name.length * WIDTHS.letter + WIDTHS.sides))}px`)
      .join(" ");
    this.root.setAttribute("aria-rowcount", String(rows.length + 1));
    this.root.setAttribute("aria-colcount", String(this.names.length));
    this.head.style.gridTemplateColumns = this.columns;
    this.showHead(sorting);
    this.body.style.height = `${rows.length * ROW}px`;
    if (sorting !== this.sorting) this.root.scrollTop = 0;
    this.sorting = sorting;
    this.draw();
  }

  /** Mark the row of a cell, and scroll to it where it is out of view. */
  select(cell: number | null): void {
    this.selected = cell;
    const at = this.positionOf(cell);
    if (at >= 0) {
      const [top, height] = [at * ROW, this.root.clientHeight - this.head.offsetHeight];
      if (top < this.root.scrollTop || top + ROW > this.root.scrollTop + height) this.root.scrollTop = top - height / 2;
    }
    this.draw();
  }

  /** Show the headings; the one that has the focus keeps it. */
  private showHead(sorting: Sorting): void {
    const focused = this.head.contains(document.activeElement)
      ? (document.activeElement as HTMLElement).dataset.column
      : undefined;
    const stop = focused ?? (this.names.includes(sorting.column) ? sorting.column : this.names[0]);
    this.head.replaceChildren(...this.names.map((name) => this.heading(name, sorting, name === stop)));
    if (focused) this.head.querySelector<HTMLElement>("[tabindex='0']")?.focus();
  }

  private heading(name: string, sorting: Sorting, isStop: boolean): HTMLElement {
    const isSorted = sorting.column === name;
    const order = !isSorted ? "none" : sorting.isDescending ? "descending" : "ascending";
    const sort = button(name, () => this.listener.onSort(name), {
      title: `Sort by ${name}`,
      attributes: { "data-column": name, tabindex: isStop ? "0" : "-1" },
    });
    if (isSorted)
      sort.append(element("span", { text: sorting.isDescending ? " ↓" : " ↑", attributes: { "aria-hidden": "true" } }));
    return element("div", { attributes: { role: "columnheader", "aria-sort": order } }, sort);
  }

  private draw(): void {
    const first = Math.max(Math.floor(this.root.scrollTop / ROW) - SPARE, 0);
    const count = Math.ceil(this.root.clientHeight / ROW) + 2 * SPARE;
    const shown = [...this.rows.subarray(first, first + count)].map((row, at) => this.row(row, first + at));
    this.body.replaceChildren(...shown);
    const isInView = shown.some((row) => row.ariaSelected === "true");
    if (isInView) this.root.setAttribute("aria-activedescendant", `cell-${this.selected}`);
    else this.root.removeAttribute("aria-activedescendant");
  }

  private row(row: number, position: number): HTMLElement {
    const columns = this.table?.columns ?? {};
    const cell = Number(columns.id[row]);
    const made = element("div", {
      id: `cell-${cell}`,
      attributes: {
        role: "row",
        "aria-rowindex": String(position + 2),
        "aria-selected": String(cell === this.selected),
        "data-cell": String(cell),
      },
    });
    made.style.gridTemplateColumns = this.columns;
    made.style.top = `${position * ROW}px`;
    for (const name of this.names)
      made.append(element("span", { text: textOf(columns[name][row]), attributes: { role: "gridcell" } }));
    return made;
  }

  private positionOf(cell: number | null): number {
    const ids = this.table?.columns.id;
    return cell === null || !ids ? -1 : this.rows.findIndex((row) => ids[row] === cell);
  }

  private step(event: KeyboardEvent): void {
    const page = Math.max(Math.floor(this.root.clientHeight / ROW) - 2, 1);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    if (!(event.key in steps) || event.target !== this.root || !this.rows.length) return;
    event.preventDefault();
    const before = Math.max(this.positionOf(this.selected), steps[event.key] === 1 ? -1 : 0);
    const at = Math.min(Math.max(before + steps[event.key], 0), this.rows.length - 1);
    this.listener.onSelect(Number(this.table?.columns.id[this.rows[at]]));
  }
}
