/** Images: sent, shown, removed. */

import type { ImageInfo } from "../backend";
import { askFirst } from "../elements/dialogs";
import { nameOf } from "../state/places";
import { attempt, say, type Session } from "../state/session";
import { remembered } from "../state/memory";
import type { Upload } from "../state/state";
import { defaultSettings } from "../viewer/channels";
import { resultsOf, showResult } from "./results";

/** Send files, one after the other; the first is shown where none is. */
export async function addFiles(session: Session, files: File[]): Promise<void> {
  const { store } = session;
  const waiting = files.map((file) => {
    const stop = new AbortController();
    const upload: Upload = {
      name: file.name,
      share: 0,
      problem: null,
      cancel: () => {
        stop.abort();
        store.set({ uploads: store.state.uploads.filter(({ cancel }) => cancel !== upload.cancel) });
      },
    };
    return { file, stop, upload };
  });
  store.set({ uploads: [...store.state.uploads, ...waiting.map(({ upload }) => upload)] });
  for (const { file, stop, upload } of waiting) {
    if (!stop.signal.aborted) await send(session, file, upload, stop.signal);
  }
}

async function send(session: Session, file: File, upload: Upload, signal: AbortSignal): Promise<void> {
  const { backend, store } = session;
  const change = (part: Partial<Upload>) =>
    store.set({
      uploads: store.state.uploads.map((other) => (other.cancel === upload.cancel ? { ...other, ...part } : other)),
    });
  try {
    const image = await backend.addImage(file, (share) => change({ share }), signal);
    store.set({
      uploads: store.state.uploads.filter(({ cancel }) => cancel !== upload.cancel),
      images: [image, ...store.state.images.filter(({ id }) => id !== image.id)],
    });
    say(session, [`${nameOf(image)} is here`, ...image.notes].join(". "));
    if (!store.state.image) showImage(session, image);
  } catch (error) {
    if (signal.aborted) return;
    change({ problem: error instanceof Error ? error.message : String(error) });
    say(session, error instanceof Error ? error.message : String(error), true);
  }
}

/** Show an image with its newest result, or one that was remembered. */
export function showImage(session: Session, image: ImageInfo | null, resultId?: string): void {
  if (image?.id === session.store.state.image?.id) return;
  const kept = image ? remembered().channels?.[image.id] : undefined;
  const own = image ? defaultSettings(image) : [];
  session.store.set({
    image,
    result: null,
    channels: kept?.length === own.length ? kept : own,
    table: null,
    selected: null,
    underReview: null,
    pointer: null,
    mode: "move",
  });
  const results = resultsOf(session, image?.id);
  showResult(session, results.find(({ id }) => id === resultId) ?? results[0] ?? null);
}

/** Remove an image with its results, once the user agrees. */
export async function removeImage(session: Session, image: ImageInfo): Promise<void> {
  const { backend, store } = session;
  const agreed = await askFirst({
    title: "Remove this image?",
    text: `${nameOf(image)} would be removed here, with its results and corrections. Your own file stays where it is.`,
    yes: "Remove",
    no: "Keep",
  });
  if (!agreed) return;
  const done = await attempt(session, async () => {
    await backend.removeImage(image.id);
    return true;
  });
  if (!done) return;
  store.set({
    images: store.state.images.filter(({ id }) => id !== image.id),
    results: store.state.results.filter((result) => result.image !== image.id),
    jobs: store.state.jobs.filter((job) => job.image !== image.id),
  });
  if (store.state.image?.id === image.id) showImage(session, store.state.images[0] ?? null);
  say(session, `${nameOf(image)} was removed`);
}
