/** The network in a worker of its own, from outside. */
import { InputError } from "../numerics/errors";
import type { ModelFiles } from "./network";

export type NetworkOrder =
  | { kind: "open"; number: number; files: ModelFiles; base: string }
  | { kind: "run"; number: number; tile: Uint8Array; size: number };

export interface NetworkAnswer {
  number: number;
  maps?: Float32Array;
  /** What runs the network, in words. */
  engine?: string;
  problem?: string;
}

interface Waiting {
  resolve: (answer: NetworkAnswer) => void;
  reject: (error: Error) => void;
}

export class NetworkClient {
  private readonly waiting = new Map<number, Waiting>();
  private asked = 0;
  /** What runs the network, in words. */
  engine = "";

  private constructor(private readonly worker: Worker) {
    worker.addEventListener("message", ({ data }: MessageEvent<NetworkAnswer>) => this.settle(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      const error = new InputError(`the network stopped (${event.message || "its file did not load"})`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    });
  }

  /** Start the worker, and open a model in it. */
  static async open(files: ModelFiles, base: string): Promise<NetworkClient> {
    const worker = new Worker(new URL("network.js", base), { type: "module", name: "dinocell-network" });
    const client = new NetworkClient(worker);
    try {
      await client.ask((number) => ({ kind: "open", number, files, base }), [files.weights.buffer]);
    } catch (error) {
      worker.terminate();
      throw error;
    }
    return client;
  }

  /** Run the network on one tile. */
  async run(tile: Uint8Array, size: number): Promise<Float32Array> {
    const { maps } = await this.ask((number) => ({ kind: "run", number, tile, size }), []);
    if (!maps) throw new Error("the network gave no map");
    return maps;
  }

  private ask(make: (number: number) => NetworkOrder, transfer: ArrayBufferLike[]): Promise<NetworkAnswer> {
    const number = this.asked++;
    return new Promise((resolve, reject) => {
      this.waiting.set(number, { resolve, reject });
      this.worker.postMessage(make(number), transfer as Transferable[]);
    });
  }

  private settle(answer: NetworkAnswer): void {
    const waiting = this.waiting.get(answer.number);
    this.waiting.delete(answer.number);
    this.engine = answer.engine ?? this.engine;
    if (answer.problem === undefined) waiting?.resolve(answer);
    else waiting?.reject(new InputError(answer.problem));
  }
}
