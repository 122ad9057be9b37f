/** Images, jobs and results in the memory of the browser: what a `Backend` answers with. */
import type { Job, JobRequest, Model, Progress } from "../backend";
import { Cancelled, InputError } from "../numerics/errors";
import { targetsOf, type ModelConfig } from "../numerics/model";
import { segment } from "../numerics/pipeline";
import { Predictor } from "../numerics/prediction";
import { completed, type Settings } from "../numerics/settings";
import { writeFile } from "./files";
import { JobQueue } from "./job_queue";
import type { Calls } from "./messages";
import type { ModelFiles } from "./network";
import { NetworkClient } from "./network_client";
import { OpenImage } from "./open_image";
import { OpenResult } from "./open_result";
import { labelTile } from "./pyramid";
import { readImageFile } from "./readers/image_file";

export class Studio {
  private readonly images = new Map<string, OpenImage>();
  private readonly results = new Map<string, OpenResult>();
  private readonly queue: JobQueue;
  private counted = 0;
  private base = "";
  private config: ModelConfig | null = null;
  private network: Promise<NetworkClient> | null = null;

  /** @param tell Called with every job that changes. */
  constructor(tell: (job: Job) => void) {
    this.queue = new JobQueue(tell);
  }

  /** What it does for the page, by name. */
  readonly calls: Calls = {
    open: async (base) => {
      this.base = base;
      this.config = (await (await this.fetch("model/config.json")).json()) as ModelConfig;
      return this.models();
    },
    models: async () => this.models(),
    images: async () => [...this.images.values()].map(({ info }) => info),
    addImage: async (name, bytes) => {
      const decoded = await readImageFile(name, bytes);
      const image = new OpenImage(`i${++this.counted}`, name, bytes.length, decoded);
      this.images.set(image.info.id, image);
      return image.info;
    },
    removeImage: async (id) => {
      this.queue.cancelOf(id);
      this.images.delete(id);
      for (const [key, result] of this.results) if (result.image.info.id === id) this.results.delete(key);
    },
    imageTile: async ({ id }, view, z, x, y) => createImageBitmap(this.image(id).pyramid.tile(view, z, x, y)),
    jobs: async () => this.queue.list(),
    startJob: async (request) => this.start(request),
    cancelJob: async (id) => this.queue.cancel(id),
    results: async (image) => {
      const all = [...this.results.values()].filter((each) => image === undefined || each.image.info.id === image);
      return all.map((each) => each.describe());
    },
    result: async (id) => this.find(id).describe(),
    labelTile: async ({ id }, z, x, y) => {
      const found = this.find(id);
      return labelTile(found.labels, found.image.info.levels, z, x, y);
    },
    cells: async (id) => this.find(id).cells(),
    outline: async (id, cell) => this.find(id).outline(cell),
    flood: async (id, thresholds, discard = false) => this.find(id).flood(thresholds, discard),
    edit: async (id, edit) => this.find(id).edit(edit),
    undo: async (id) => this.find(id).undo(),
    redo: async (id) => this.find(id).redo(),
    check: async (id, cells, all = false) => this.find(id).check(cells, all),
    download: async ({ id }, format) => {
      const found = this.find(id);
      return writeFile(format, found.image.info.name.replace(/(\.ome)?\.[^.]*$/i, ""), found.written());
    },
  };

  private models(): Model[] {
    const config = this.model();
    return [{ name: config.variant, description: config.description, targets: targetsOf(config), own: false }];
  }

  private model(): ModelConfig {
    if (!this.config) throw new Error("the model is not open");
    return this.config;
  }

  private image(id: string): OpenImage {
    const image = this.images.get(id);
    if (!image) throw new InputError(`image ${id} is not there, expected the id of one: add it again`);
    return image;
  }

  private find(id: string): OpenResult {
    const result = this.results.get(id);
    if (!result) throw new InputError(`result ${id} is not there, expected the id of one: segment the image again`);
    return result;
  }

  private async fetch(path: string): Promise<Response> {
    const response = await fetch(new URL(path, this.base)).catch(() => null);
    if (response?.ok) return response;
    throw new InputError(`${path} cannot be loaded, expected it beside the page: export the folder again`);
  }

  private start(request: JobRequest): Job {
    if (request.kind !== "segment") {
      throw new InputError(`a job of kind ${request.kind} needs a server, expected segment: use \`dinocell serve\``);
    }
    const { channel, model, ...given } = request.settings ?? {};
    const config = this.model();
    if (model !== undefined && model !== config.variant) {
      throw new InputError(`model is ${String(model)}, expected ${config.variant}, the only one of this page`);
    }
    const image = this.image(request.image);
    const settings = completed(given, config);
    image.chosen(channel); // raises before anything is queued
    return this.queue.add(request.image, request.settings ?? {}, (job, report, signal) => {
      return this.segment(job, image, channel, settings, report, signal);
    });
  }

  private async segment(
    job: string,
    image: OpenImage,
    channel: unknown,
    settings: Settings,
    report: (progress: Progress) => void,
    signal: AbortSignal,
  ): Promise<string> {
    report({ stage: "loading the model", done: 0, total: 0 });
    const network = await this.openNetwork();
    const config = this.model();
    const onTile = (done: number, total: number): void => {
      report({ stage: `segmenting (${network.engine})`, done, total });
    };
    report({ stage: "preparing the image", done: 0, total: 0 });
    const predictor = new Predictor(config, (tile, size) => network.run(tile, size), onTile, signal);
    const onMap = (): void => report({ stage: "finding cells", done: 0, total: 0 });
    const found = await segment(image.chosen(channel), predictor, settings, onMap);
    if (signal.aborted) throw new Cancelled("the work was cancelled");
    const id = `r${++this.counted}`;
    this.results.set(id, new OpenResult({ id, job, image, config, settings, engine: network.engine, found }));
    return id;
  }

  /** Open the network once; again where that failed. */
  private openNetwork(): Promise<NetworkClient> {
    this.network ??= this.loadModel().then((files) => NetworkClient.open(files, this.base));
    this.network.catch(() => (this.network = null));
    return this.network;
  }

  private async loadModel(): Promise<ModelFiles> {
    const load = async (path: string): Promise<Uint8Array> => {
      return new Uint8Array(await (await this.fetch(path)).arrayBuffer());
    };
    const [graph, weights] = await Promise.all([load("model/model.onnx"), load("model/model.safetensors")]);
    return { graph, weights };
  }
}
