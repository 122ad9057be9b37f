/** The network on WebGPU: a bundle of its own, loaded only where the browser has WebGPU. */
import * as ort from "onnxruntime-web/webgpu";
import type { Network } from "../numerics/prediction";
import { openNetwork, type ModelFiles } from "./network";

export async function openWebgpu(files: ModelFiles, base: string): Promise<Network> {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmPaths = new URL("ort/", base).href;
  return openNetwork(ort, files, "webgpu");
}
