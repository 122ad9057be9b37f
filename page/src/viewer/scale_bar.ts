/** Scale bar: a round length, in micrometres where the size of a pixel is known. */

import { element } from "../elements/element";
import { roundLength, textOf } from "../table/numbers";

const LONGEST = 120;

export class ScaleBar {
  private readonly bar = element("span", { class: "scale-bar-line" });
  private readonly words = element("span");
  readonly root = element("div", { class: "scale-bar" }, this.words, this.bar);

  /** Show the scale of a picture in which a pixel of the screen covers `resolution` pixels, `micrometres` wide each. */
  show(resolution: number, micrometres: number | null): void {
    const unit = resolution * (micrometres ?? 1);
    const length = roundLength(LONGEST * unit);
    this.bar.style.width = `${length / unit}px`;
    this.words.textContent = `${textOf(length)} ${micrometres ? "µm" : "px"}`;
  }
}
