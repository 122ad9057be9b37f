/** Bar above the picture: which plane of a stack is shown, and steps to the others. */

import type { ImageInfo, Place } from "../backend";
import { element } from "../elements/element";
import { areOfOneFile, type Axis, axesOf, placeWithin } from "../state/places";
import type { Session } from "../state/session";
import { showPlane } from "../actions/planes";

/** Steps that follow each other within this time are one. */
const DEBOUNCE_MS = 400;

export function planesBar(session: Session): HTMLElement {
  const bar = element("div", { class: "planes", attributes: { role: "group", "aria-label": "Plane" } });
  const chooser = new PlaneChooser(session, bar);
  session.store.watch(["image"], ({ image }) => chooser.show(session.backend.abilities.planes ? image : null));
  return bar;
}

/** Fields of a place, of which only the last one that was asked for is read. */
class PlaneChooser {
  private fields = new Map<keyof Place, HTMLInputElement>();
  private counts = "";
  private wanted: { image: ImageInfo; place: Place } | null = null;
  private isReading = false;
  private timer: number | undefined;

  constructor(
    private readonly session: Session,
    private readonly bar: HTMLElement,
  ) {
    bar.addEventListener("focusout", ({ relatedTarget }) => {
      if (!(relatedTarget instanceof Node && bar.contains(relatedTarget))) void this.read();
    });
  }

  /** Show the place of an image; nothing where its file has one plane. */
  show(image: ImageInfo | null): void {
    const axes = image ? axesOf(image) : [];
    this.bar.hidden = !axes.length;
    const counts = JSON.stringify(axes);
    if (counts !== this.counts) this.build(axes);
    this.counts = counts;
    if (this.wanted && !(image && areOfOneFile(image, this.wanted.image))) this.wanted = null;
    if (!image || this.wanted) return;
    for (const [key, field] of this.fields) field.value = String(image.place[key]);
  }

  private build(axes: Axis[]): void {
    const focused = [...this.fields].find(([, field]) => field === document.activeElement)?.[0];
    this.fields = new Map(axes.map((axis) => [axis.key, this.field(axis)]));
    const labels = axes.map(({ key, title, count }) => {
      const most = element("span", { class: "hint", text: `0 to ${count - 1}`, id: `${key}-most` });
      return element("label", {}, element("span", { text: title }), this.fields.get(key) ?? "", most);
    });
    this.bar.replaceChildren(...labels);
    if (focused) this.fields.get(focused)?.focus();
  }

  private field({ key, title, count }: Axis): HTMLInputElement {
    const attributes = {
      type: "number",
      min: "0",
      max: String(count - 1),
      step: "1",
      "aria-label": title,
      "aria-describedby": `${key}-most`,
    };
    return element("input", { attributes, on: { input: () => this.ask() } });
  }

  private ask(): void {
    const { image } = this.session.store.state;
    if (!image) return;
    const asked = { ...image.place };
    for (const [key, field] of this.fields) asked[key] = field.valueAsNumber;
    this.wanted = { image, place: placeWithin(image, asked) };
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.read(), DEBOUNCE_MS);
  }

  /** Show the place that is wanted, after that one that was asked for meanwhile, and in the end where the picture is. */
  private async read(): Promise<void> {
    window.clearTimeout(this.timer);
    if (this.isReading) return;
    this.isReading = true;
    let done: object | null = null;
    while (this.wanted && this.wanted !== done) {
      done = this.wanted;
      await showPlane(this.session, this.wanted.image, this.wanted.place);
    }
    this.isReading = false;
    this.wanted = null;
    this.show(this.session.store.state.image);
  }
}
