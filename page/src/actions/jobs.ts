/** Jobs: started, followed, cancelled. */

import type { ImageInfo, Job } from "../backend";
import { nameOf } from "../state/places";
import { attempt, say, type Session } from "../state/session";
import type { SegmentSetting, State } from "../state/state";
import { counted } from "../table/numbers";
import { describe, keepResult, showResult } from "./results";

/** Images of more pixels than this are segmented block by block. */
const LARGE_PIXELS = 67_000_000;

/** Return whether a job is not at its end. */
export function isUnderWay(job: Job): boolean {
  return job.state === "queued" || job.state === "running";
}

/** Return the newest job that segments an image. */
export function jobOf(jobs: readonly Job[], image: string): Job | null {
  return jobs.find((job) => job.image === image) ?? null;
}

/** Return the name of the model that is chosen; the first where none is, undefined where there are none. */
export function chosenModel({ segment: { model }, models }: Readonly<State>): string | undefined {
  return (models.find(({ name }) => name === model) ?? models[0])?.name;
}

/** Return the number of the channel that is looked at; null where there is no choice. */
export function channelOf({ channel }: SegmentSetting, { channels, rgb }: ImageInfo): number | null {
  if (rgb || channels.length < 2) return null;
  return (channels.find(({ name }) => name === channel) ?? channels[0]).index;
}

/** Segment an image with the settings that are chosen. */
export async function segment(session: Session, image: ImageInfo): Promise<void> {
  const { target, size, diameter } = session.store.state.segment;
  const model = chosenModel(session.store.state);
  const isLarge = image.width * image.height > LARGE_PIXELS;
  if (isLarge && !session.backend.abilities.large) {
    say(
      session,
      `${nameOf(image)}: it has more than 67 million pixels, expected fewer in the browser alone; use dinocell serve`,
      true,
    );
    return;
  }
  const channel = channelOf(session.store.state.segment, image);
  const settings = {
    ...(model ? { model } : {}),
    target,
    diameter: size === "given" ? diameter : size,
    ...(channel === null ? {} : { channel }),
  };
  const job = await attempt(session, () =>
    session.backend.startJob({ kind: isLarge ? "segment-large" : "segment", image: image.id, settings }),
  );
  if (job) keepJob(session, job);
}

/** Segment all images that are not being segmented now. */
export async function segmentAll(session: Session): Promise<void> {
  const { images, jobs } = session.store.state;
  const waiting = images.filter((image) => {
    const job = jobOf(jobs, image.id);
    return !job || !isUnderWay(job);
  });
  for (const image of waiting) await segment(session, image);
  say(session, `${counted(waiting.length, "image")} queued`);
}

/** Adapt a model to results that were corrected. */
export async function finetune(session: Session, results: string[], settings: Record<string, unknown>): Promise<void> {
  const job = await attempt(session, () => session.backend.startJob({ kind: "fine-tune", results, settings }));
  if (job) keepJob(session, job);
}

/** Cancel a job. */
export async function cancel(session: Session, job: Job): Promise<void> {
  await attempt(session, () => session.backend.cancelJob(job.id));
}

/** Go on with a job that was interrupted, failed or was cancelled. */
export async function goOn(session: Session, job: Job): Promise<void> {
  const again = await attempt(session, () => session.backend.continueJob(job.id));
  if (again) keepJob(session, again);
}

/** Take in a job that is new or has changed; what it made is shown where its image is. */
export function keepJob(session: Session, job: Job): void {
  const { store } = session;
  const before = store.state.jobs.find(({ id }) => id === job.id);
  store.set({
    jobs: before ? store.state.jobs.map((other) => (other.id === job.id ? job : other)) : [job, ...store.state.jobs],
  });
  if (before?.state === job.state) return;
  if (job.state === "done") void takeIn(session, job);
  if (job.state === "failed" && before) say(session, job.problem ?? "job: it failed without a reason", true);
}

/** Load what a job made. */
async function takeIn(session: Session, job: Job): Promise<void> {
  const { backend, store } = session;
  if (job.learned) {
    const models = await attempt(session, () => backend.models());
    if (models) store.set({ models });
    say(session, `The model ${job.learned.model} is ready`);
  }
  const id = job.result;
  if (id === null || store.state.results.some((result) => result.id === id)) return;
  const result = await attempt(session, () => backend.result(id));
  if (!result) return;
  keepResult(session, result);
  const image = store.state.images.find(({ id }) => id === result.image);
  say(session, `${image ? nameOf(image) : ""}: ${describe(result)}`);
  if (store.state.image?.id === result.image) showResult(session, result);
}
