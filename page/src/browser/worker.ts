/** Worker that reads, segments, measures and corrects, so that the page never waits. */
import { Cancelled, InputError } from "../numerics/errors";
import type { Answer, Order } from "./messages";
import { Studio } from "./studio";

const studio = new Studio((job) => send({ job }));

function send(answer: Answer, transfer: Transferable[] = []): void {
  self.postMessage(answer, { transfer });
}

/** Return what need not be copied. */
function transferable(found: unknown): Transferable[] {
  if (found instanceof ImageBitmap) return [found];
  const ids = (found as { ids?: unknown } | undefined)?.ids;
  return ids instanceof Uint32Array ? [ids.buffer] : [];
}

self.addEventListener("message", ({ data }: MessageEvent<Order>) => {
  const call = studio.calls[data.call] as (...given: unknown[]) => Promise<unknown>;
  call(...data.given).then(
    (found) => send({ number: data.number, found }, transferable(found)),
    (error: unknown) => {
      const problem = error instanceof Error ? error.message : String(error);
      const known = error instanceof InputError || error instanceof Cancelled;
      send({ number: data.number, problem, known });
    },
  );
});
