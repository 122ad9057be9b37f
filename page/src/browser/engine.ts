/** Engine that runs the network: WebAssembly, or WebGPU where that passes a check. */
import * as ort from "onnxruntime-web/wasm";
import { openNetwork, type EngineName, type ModelFiles } from "./network";
import type { Network } from "../numerics/prediction";

/** Threads that gain something; more of them wait for each other. */
const MOST_THREADS = 8;

/** Side in pixels of the tile that both engines are compared on. */
const SIDE = 256;

/** Maps of both engines may differ by this. */
const TOLERANCE = 1e-3;

export interface Engine {
  run: Network;
  /** What runs the network, in words. */
  describe(): string;
}

/** Open a model; `base` is the address of the folder that the page lies in. */
export async function openEngine(files: ModelFiles, base: string): Promise<Engine> {
  const threads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.proxy = false; // this is a worker already
  ort.env.wasm.wasmPaths = new URL("ort/", base).href;
  const wasm = await openNetwork(ort, files, "wasm");
  const gpu = await openChecked(files, base, wasm);
  let name: EngineName = gpu ? "webgpu" : "wasm";
  return {
    describe: () => (name === "webgpu" ? "WebGPU" : `WebAssembly, ${threads === 1 ? "1 thread" : `${threads} threads`}`),
    run: async (tile, size) => {
      if (gpu && name === "webgpu") {
        try {
          return await gpu(tile, size);
        } catch {
          name = "wasm"; // a graphics card may be lost at any time
        }
      }
      return wasm(tile, size);
    },
  };
}

/** Open the model on WebGPU; null where there is none, where its maps differ, or where it is not faster. */
async function openChecked(files: ModelFiles, base: string, wasm: Network): Promise<Network | null> {
  const { gpu: cards } = navigator as Navigator & { gpu?: { requestAdapter(): Promise<object | null> } };
  if (!cards) return null;
  try {
    if (!(await cards.requestAdapter())) return null;
    const built = new URL("network_webgpu.js", base).href;
    const { openWebgpu } = (await import(built)) as typeof import("./webgpu");
    const gpu = await openWebgpu(files, base);
    const tile = Uint8Array.from({ length: SIDE * SIDE }, (_, at) => {
      const [y, x] = [Math.floor(at / SIDE), at % SIDE];
      return 128 + 100 * Math.sin(y / 9) * Math.sin(x / 7); // round, bright and dark, as cells are
    });
    await gpu(tile, SIDE); // the first run translates the network
    const [slow, expected] = await timed(wasm, tile);
    const [fast, found] = await timed(gpu, tile);
    const same = found.length === expected.length && found.every((value, at) => near(value, expected[at]));
    return same && fast < slow ? gpu : null;
  } catch {
    return null;
  }
}

function near(one: number, other: number): boolean {
  return Math.abs(one - other) <= TOLERANCE; // false for NaN
}

async function timed(network: Network, tile: Uint8Array): Promise<[number, Float32Array]> {
  const start = performance.now();
  const maps = await network(tile.slice(), SIDE);
  return [performance.now() - start, maps];
}
