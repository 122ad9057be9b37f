/** An image in the list: what it is, what is done with it, and what can be done. */

import type { ImageInfo, Job, Result } from "../backend";
import { button, element } from "../elements/element";
import { nameOf } from "../state/places";
import type { Session } from "../state/session";
import { bytesOf } from "../table/numbers";
import { removeImage, showImage } from "../actions/images";
import { cancel, goOn, isUnderWay } from "../actions/jobs";
import { describe } from "../actions/results";
import { thumbnail } from "./thumbnail";

const GOES_ON = new Set(["failed", "interrupted", "cancelled"]);

export class ImageRow {
  readonly root: HTMLLIElement;
  private readonly open: HTMLButtonElement;
  private readonly status = element("span", { class: "status" });
  private readonly bar = element("progress", { attributes: { max: "1" } });
  private readonly stop: HTMLButtonElement;
  private readonly again: HTMLButtonElement;
  private job: Job | null = null;

  constructor(session: Session, image: ImageInfo) {
    const name = nameOf(image);
    const meta = `${image.width} × ${image.height} px · ${bytesOf(image.bytes)}`;
    this.open = element(
      "button",
      { class: "open", attributes: { type: "button" }, on: { click: () => showImage(session, image) } },
      thumbnail(session, image),
      element(
        "span",
        { class: "words" },
        element("span", { class: "name", text: name, title: name }),
        element("span", { class: "meta", text: meta }),
        this.status,
      ),
    );
    this.stop = button("Cancel", () => this.job && void cancel(session, this.job), {
      class: "small",
      attributes: { "aria-label": `Cancel ${name}` },
    });
    this.again = button("Go on", () => this.job && void goOn(session, this.job), {
      class: "small",
      attributes: { "aria-label": `Go on with ${name}` },
    });
    const remove = button("×", () => void removeImage(session, image), {
      class: "quiet remove",
      title: "Remove this image",
      attributes: { "aria-label": `Remove ${name}` },
    });
    this.bar.setAttribute("aria-label", `Progress of ${name}`);
    this.root = element(
      "li",
      { class: "image" },
      this.open,
      remove,
      this.bar,
      element("div", { class: "row" }, this.stop, this.again),
    );
  }

  /** Show the newest job and result of the image, and whether it is the one in the picture. */
  update(job: Job | null, result: Result | null, isShown: boolean): void {
    this.job = job;
    this.open.toggleAttribute("aria-current", isShown);
    if (isShown) this.open.setAttribute("aria-current", "true");
    const runs = job !== null && isUnderWay(job);
    this.bar.hidden = !runs;
    if (job && job.progress.total > 0) this.bar.value = job.progress.done / job.progress.total;
    else this.bar.removeAttribute("value");
    this.stop.hidden = !runs;
    this.again.hidden = !job || !GOES_ON.has(job.state);
    this.status.textContent = statusOf(job, result);
    this.status.classList.toggle("problem", job?.state === "failed");
  }
}

/** Return words on what is done with an image, or what came of it. */
function statusOf(job: Job | null, result: Result | null): string {
  if (job?.state === "queued") return "queued";
  if (job?.state === "running") {
    const { stage, done, total } = job.progress;
    return total > 0 ? `${stage} · ${Math.round((100 * done) / total)} %` : stage;
  }
  if (job?.state === "failed") return job.problem ?? "failed";
  if (job && GOES_ON.has(job.state) && !result) return job.state;
  return result ? describe(result).split(". ")[0] : "not segmented yet";
}
