/** Worker that runs the network, so that the one with the images can answer meanwhile. */
import { openEngine, type Engine } from "./engine";
import type { NetworkAnswer, NetworkOrder } from "./network_client";

let engine: Engine | null = null;

async function answer(order: NetworkOrder): Promise<NetworkAnswer> {
  if (order.kind === "open") {
    engine = await openEngine(order.files, order.base);
    return { number: order.number, engine: engine.describe() };
  }
  if (!engine) throw new Error("the network is not open");
  const maps = await engine.run(order.tile, order.size);
  return { number: order.number, maps, engine: engine.describe() };
}

self.addEventListener("message", ({ data }: MessageEvent<NetworkOrder>) => {
  answer(data).then(
    (found) => self.postMessage(found, { transfer: found.maps ? [found.maps.buffer] : [] }),
    (error: unknown) => {
      const problem = error instanceof Error ? error.message : String(error);
      self.postMessage({ number: data.number, problem } satisfies NetworkAnswer);
    },
  );
});
