/** The network in ONNX Runtime Web, by WebAssembly. */
import type { InferenceSession, Tensor } from "onnxruntime-common";
import { InputError } from "../numerics/errors";
import type { Network } from "../numerics/prediction";

/** What both builds of the runtime have, that for WebAssembly alone and that with WebGPU. */
export interface Runtime {
  InferenceSession: { create(graph: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession> };
  Tensor: new (type: "uint8", data: Uint8Array, dims: number[]) => Tensor;
}

/** Files of a model: the graph without weights, and the weights that it names. */
export interface ModelFiles {
  graph: Uint8Array;
  weights: Uint8Array;
}

export type EngineName = "wasm" | "webgpu";

/** Name by which the graph refers to its weights. */
const WEIGHTS = "model.safetensors";

/** Open a model in a runtime. */
export async function openNetwork(runtime: Runtime, files: ModelFiles, engine: EngineName): Promise<Network> {
  let session: InferenceSession;
  try {
    session = await runtime.InferenceSession.create(files.graph, {
      executionProviders: [engine],
      externalData: [{ path: WEIGHTS, data: files.weights }],
      logSeverityLevel: 3,
    });
  } catch (error) {
    throw new InputError(
      `the model cannot be opened (${String(error).slice(0, 200)}), expected model.onnx and ${WEIGHTS} of one ` +
        "export: export the folder again",
    );
  }
  return async (tile, size) => {
    const tiles = new runtime.Tensor("uint8", tile, [1, size, size]);
    const found = await session.run({ tiles }, ["distance"]);
    const maps = (await found.distance.getData()) as Float32Array;
    const copy = maps.slice(); // the runtime may reuse its memory
    found.distance.dispose();
    return copy;
  };
}
