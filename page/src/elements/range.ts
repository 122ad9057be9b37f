/** A range with two handles, and both of its ends as numbers. */

import { element } from "./element";

export interface RangeOptions {
  label: string;
  least: number;
  most: number;
  onChange: (low: number, high: number) => void;
}

const STEPS = 500;

export class Range {
  readonly root = element("div", { class: "range" });
  private readonly fill = element("span", { class: "range-fill" });
  private readonly handles: [HTMLInputElement, HTMLInputElement];
  private readonly numbers: [HTMLInputElement, HTMLInputElement];

  constructor(private readonly options: RangeOptions) {
    const { label, least, most } = options;
    const step =
      Number.isInteger(least) && Number.isInteger(most) && most - least <= 65535 ? "1" : String((most - least) / STEPS);
    const handle = (end: string) =>
      element("input", {
        attributes: { type: "range", min: String(least), max: String(most), step, "aria-label": `${label}, ${end}` },
        on: { input: () => this.takeHandles() },
      });
    const number = (end: string) =>
      element("input", {
        attributes: { type: "number", step: "any", "aria-label": `${label}, ${end}` },
        on: { change: () => this.takeNumbers() },
      });
    this.handles = [handle("black"), handle("white")];
    this.numbers = [number("black"), number("white")];
    const track = element("div", { class: "range-track" }, this.fill, ...this.handles);
    this.root.append(this.numbers[0], track, this.numbers[1]);
  }

  /** Show both ends. */
  show(low: number, high: number): void {
    const { least, most } = this.options;
    const share = (value: number) => `${Math.min(Math.max((value - least) / (most - least || 1), 0), 1) * 100}%`;
    this.fill.style.left = share(low);
    this.fill.style.right = `calc(100% - ${share(high)})`;
    [low, high].forEach((value, at) => {
      this.handles[at].value = String(value);
      if (document.activeElement !== this.numbers[at]) this.numbers[at].value = String(Number(value.toPrecision(6)));
    });
  }

  private takeHandles(): void {
    this.tell(this.handles);
  }

  private takeNumbers(): void {
    this.tell(this.numbers);
  }

  private tell(inputs: [HTMLInputElement, HTMLInputElement]): void {
    const [low, high] = inputs.map(({ valueAsNumber }) => valueAsNumber);
    if (Number.isFinite(low) && Number.isFinite(high) && low !== high)
      this.options.onChange(Math.min(low, high), Math.max(low, high));
  }
}
