/** Downloads of results. */

import type { Result } from "../backend";
import { attempt, say, type Session } from "../state/session";
import { counted } from "../table/numbers";
import { resultsOf } from "./results";

/** Time after which the browser has begun to save a file. */
const SAVED_MS = 60_000;

/** Save a file of a result. */
export async function download(session: Session, result: Result, format: string): Promise<boolean> {
  const file = await attempt(session, () => session.backend.download(result, format));
  if (!file) return false;
  const address = URL.createObjectURL(file.blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), SAVED_MS);
  say(session, `Saved ${file.name}`);
  return true;
}

/** Save a file of the newest result of every image that has one in this format, one after the other. */
export async function downloadAll(session: Session, format: string): Promise<void> {
  let saved = 0;
  for (const image of session.store.state.images) {
    const result = resultsOf(session, image.id).find(({ formats }) => formats.some(({ name }) => name === format));
    if (result && (await download(session, result, format))) saved++;
  }
  say(session, `Saved ${counted(saved, "file")}`);
}
