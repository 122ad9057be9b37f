/** Panel that adapts a model to corrections, shows how it learns, and whether that helped. */

import type { Job, Result } from "../backend";
import { button, element, field, section } from "../elements/element";
import { nameOf } from "../state/places";
import { say, type Session } from "../state/session";
import { counted, durationOf } from "../table/numbers";
import { cancel, chosenModel, finetune, goOn, isUnderWay } from "../actions/jobs";
import { lossCurve } from "./loss_curve";

const STEPS = 100;
/** Steps after which the time that is left is told. */
const FEWEST = 5;

export function adaptPanel(session: Session): HTMLElement {
  return element("div", {}, section("Adapt a model from my corrections", orderForm(session)), learning(session));
}

function orderForm(session: Session): HTMLElement {
  const name = element("input", {
    attributes: { type: "text", maxlength: "40", spellcheck: "false", placeholder: "my-cells" },
  });
  const steps = element("input", { attributes: { type: "number", min: "1", max: "10000", value: String(STEPS) } });
  const base = element("p", { class: "hint" });
  session.store.watch(
    ["models", "segment"],
    (state) => (base.textContent = `It begins with the model that Segment has: ${chosenModel(state) ?? "none"}.`),
  );
  const chosen = new Set<string>();
  const form = element(
    "form",
    {},
    correctedList(session, chosen),
    field("Name of the new model", name),
    field("Steps", steps, "More steps learn more, and take longer."),
    base,
    element("button", { class: "primary", text: "Adapt", attributes: { type: "submit" } }),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    order(session, [...chosen], name.value.trim(), steps.valueAsNumber || STEPS);
  });
  return form;
}

function order(session: Session, results: string[], name: string, steps: number): void {
  if (!name || !results.length) {
    say(session, "adapt: a name or images are missing, expected both; choose corrected images and write a name", true);
    return;
  }
  const model = chosenModel(session.store.state);
  say(session, "Queued: the curve below shows how it learns");
  void finetune(session, results, { ...(model ? { model } : {}), name, steps });
}

/** Return a list of results that were corrected; those that are ticked are in `chosen`. */
function correctedList(session: Session, chosen: Set<string>): HTMLElement {
  const list = element("fieldset", { class: "corrected" });
  session.store.watch(["results", "images"], ({ results, images }) => {
    const corrected = results.filter((result) => result.edits > 0 || result.checked.length > 0 || result.all_checked);
    for (const id of chosen) if (!corrected.some((result) => result.id === id)) chosen.delete(id);
    const legend = element("legend", {
      text: corrected.length ? "Corrected images to learn from" : "Correct some cells first, or mark them as right.",
    });
    const rows = corrected.map((result) => {
      const box = element("input", { attributes: { type: "checkbox" } });
      box.checked = chosen.has(result.id);
      box.addEventListener("change", () => (box.checked ? chosen.add(result.id) : chosen.delete(result.id)));
      const image = images.find(({ id }) => id === result.image);
      const title = image ? nameOf(image) : result.image;
      return element("label", { class: "row" }, box, element("span", { text: `${title}: ${workDone(result)}` }));
    });
    list.replaceChildren(legend, ...rows);
  });
  return list;
}

function workDone(result: Result): string {
  return result.all_checked
    ? "all of it is right"
    : `${counted(result.edits, "edit")}, ${counted(result.checked.length, "checked cell")}`;
}

function learning(session: Session): HTMLElement {
  const title = element("h2");
  const words = element("p", { class: "found" });
  const chart = element("div", { class: "chart" });
  const bar = element("progress", { attributes: { max: "1", "aria-label": "Progress of learning" } });
  const controls = element("div", { class: "row" });
  const part = element(
    "section",
    { class: "part", attributes: { "aria-label": "Learning" } },
    title,
    words,
    bar,
    chart,
    controls,
  );
  let controlled = "";
  const began = new Map<string, { at: number; done: number }>();
  session.store.watch(["jobs"], ({ jobs }) => {
    const job = jobs.find(({ kind }) => kind === "fine-tune");
    part.hidden = !job;
    if (!job) return;
    if (job.state === "running" && !began.has(job.id))
      began.set(job.id, { at: performance.now(), done: job.progress.done });
    title.textContent = String(job.settings.name ?? "Adapted model");
    words.textContent = progressOf(job, began.get(job.id));
    bar.hidden = !isUnderWay(job);
    if (job.progress.total) bar.value = job.progress.done / job.progress.total;
    else bar.removeAttribute("value");
    chart.hidden = !job.curve.length;
    if (job.curve.length) chart.replaceChildren(lossCurve(job.curve, Number(job.settings.steps ?? 0)));
    if (controlled === `${job.id} ${job.state}`) return;
    controlled = `${job.id} ${job.state}`;
    controls.replaceChildren(...controlsOf(session, job));
  });
  return part;
}

function controlsOf(session: Session, job: Job): HTMLElement[] {
  const { store } = session;
  if (isUnderWay(job)) return [button("Cancel", () => void cancel(session, job))];
  const learned = job.learned;
  if (!learned) return [button("Go on", () => void goOn(session, job))];
  const use = () => {
    store.set({ segment: { ...store.state.segment, model: learned.model } });
    say(session, `Segment uses ${learned.model} from now on`);
  };
  return [button("Use this model", use, { class: "primary" })];
}

/** Return words on how far a fine-tuning is, or what came of it. */
function progressOf(job: Job, began: { at: number; done: number } | undefined): string {
  const { stage, done, total } = job.progress;
  if (job.learned) return describeLearned(job.learned);
  if (!isUnderWay(job)) return job.problem ?? job.state;
  const loss = job.curve.at(-1);
  const parts = [job.state === "queued" ? "queued" : stage];
  if (loss) parts.push(`loss ${loss.loss.toFixed(4)}`);
  const since = began ? done - began.done : 0;
  if (began && since >= FEWEST && total)
    parts.push(durationOf(((performance.now() - began.at) / 1000 / since) * (total - done)));
  return parts.join(" · ");
}

function describeLearned({ images, before, after }: NonNullable<Job["learned"]>): string {
  const first = `Learned from ${counted(images, "image")}.`;
  if (before === null || after === null)
    return `${first} Nothing was held back: look at the result before you trust it.`;
  const change = after > before ? "better" : "not better: keep the model as it is";
  return `${first} On cells that were held back, AP@0.5 was ${before.toFixed(2)} before, and is ${after.toFixed(2)} now: ${change}.`;
}
