/** The backend that segments in the browser: nothing leaves it. */
import { BackendError, type Backend, type Job } from "../backend";
import type { Answer, CallName, Calls, Order } from "./messages";

interface Waiting {
  resolve: (found: never) => void;
  reject: (error: Error) => void;
}

/** Start the worker, and load the description of the model. */
export async function browserBackend(): Promise<Backend> {
  const client = new WorkerClient(new URL("worker.js", document.baseURI));
  await client.call("open", document.baseURI);
  return new BrowserBackend(client);
}

/** Calls to the worker, each with a number that its answer has, too. */
class WorkerClient {
  private readonly waiting = new Map<number, Waiting>();
  private readonly listeners = new Set<(job: Job) => void>();
  private readonly worker: Worker;
  private asked = 0;

  constructor(address: URL) {
    this.worker = new Worker(address, { type: "module", name: "dinocell" });
    this.worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => this.take(data));
    this.worker.addEventListener("error", (event) => {
      const error = new BackendError(`the worker stopped (${event.message || "its file did not load"}): reload the page`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    });
  }

  call<K extends CallName>(name: K, ...given: Parameters<Calls[K]>): ReturnType<Calls[K]> {
    return this.send(name, given, []);
  }

  /** Call with bytes that are not copied, and are gone here afterwards. */
  send<K extends CallName>(name: K, given: Parameters<Calls[K]>, transfer: Transferable[]): ReturnType<Calls[K]> {
    const number = this.asked++;
    const answered = new Promise<never>((resolve, reject) => {
      this.waiting.set(number, { resolve, reject });
      this.worker.postMessage({ number, call: name, given } satisfies Order, transfer);
    });
    return answered as unknown as ReturnType<Calls[K]>;
  }

  onJob(listener: (job: Job) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private take(answer: Answer): void {
    if ("job" in answer) {
      for (const listener of this.listeners) listener(answer.job);
      return;
    }
    const waiting = this.waiting.get(answer.number);
    this.waiting.delete(answer.number);
    if ("found" in answer) waiting?.resolve(answer.found as never);
    else waiting?.reject(answer.known ? new BackendError(answer.problem) : new Error(answer.problem));
  }
}

class BrowserBackend implements Backend {
  readonly kind = "browser";
  readonly abilities = { fineTune: false, large: false, keeps: false, planes: false };

  constructor(private readonly client: WorkerClient) {}

  models: Backend["models"] = () => this.client.call("models");
  images: Backend["images"] = () => this.client.call("images");
  removeImage: Backend["removeImage"] = (id) => this.client.call("removeImage", id);
  imageTile: Backend["imageTile"] = (image, view, z, x, y) => this.client.call("imageTile", image, view, z, x, y);
  jobs: Backend["jobs"] = () => this.client.call("jobs");
  startJob: Backend["startJob"] = (request) => this.client.call("startJob", request);
  cancelJob: Backend["cancelJob"] = (id) => this.client.call("cancelJob", id);
  onJob: Backend["onJob"] = (listener) => this.client.onJob(listener);
  results: Backend["results"] = (image) => this.client.call("results", image);
  result: Backend["result"] = (id) => this.client.call("result", id);
  labelTile: Backend["labelTile"] = (result, z, x, y) => this.client.call("labelTile", result, z, x, y);
  cells: Backend["cells"] = (id) => this.client.call("cells", id);
  outline: Backend["outline"] = (...given) => this.client.call("outline", ...given);
  flood: Backend["flood"] = (...given) => this.client.call("flood", ...given);
  edit: Backend["edit"] = (...given) => this.client.call("edit", ...given);
  undo: Backend["undo"] = (id) => this.client.call("undo", id);
  redo: Backend["redo"] = (id) => this.client.call("redo", id);
  check: Backend["check"] = (...given) => this.client.call("check", ...given);
  download: Backend["download"] = (...given) => this.client.call("download", ...given);

  async addImage(file: File, onProgress: (share: number) => void, signal?: AbortSignal): ReturnType<Backend["addImage"]> {
    onProgress(0);
    const bytes = new Uint8Array(await file.arrayBuffer());
    signal?.throwIfAborted();
    onProgress(0.5);
    const info = await this.client.send("addImage", [file.name, bytes], [bytes.buffer]);
    if (signal?.aborted) {
      await this.removeImage(info.id);
      signal.throwIfAborted();
    }
    onProgress(1);
    return info;
  }

  /** Of a stack, the reader has chosen a plane already. */
  async addPlane(id: string): ReturnType<Backend["addPlane"]> {
    throw new BackendError(`image ${id}: other planes of its file are not read in the browser alone; use dinocell serve`);
  }

  /** Nothing is interrupted here: jobs end with the page. */
  async continueJob(id: string): Promise<Job> {
    throw new BackendError(`job ${id} cannot go on in the browser: segment the image again`);
  }
}
