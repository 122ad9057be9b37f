/** Backend over HTTP: the computer that the page came from segments. */

import type {
  Backend,
  CellTable,
  Edit,
  EditOutcome,
  ImageInfo,
  Job,
  JobRequest,
  LabelTile,
  Model,
  Outline,
  Place,
  Result,
  Thresholds,
  View,
} from "../backend";
import { Connection } from "./connection";
import { JobEvents } from "./job_events";
import { decodeLabels } from "./label_png";
import { Requests } from "./requests";
import { upload } from "./uploads";
import { viewQuery } from "./view_query";

export class ServerBackend implements Backend {
  readonly kind = "server";
  readonly abilities = { fineTune: true, large: true, keeps: true, planes: true };
  readonly connection = new Connection();
  private readonly requests = new Requests(this.connection);
  private readonly events = new JobEvents(() => this.jobs());

  async models(): Promise<Model[]> {
    return (await this.requests.json<{ models: Model[] }>("GET", "/models")).models;
  }

  async images(): Promise<ImageInfo[]> {
    return (await this.requests.json<{ images: ImageInfo[] }>("GET", "/images")).images;
  }

  addImage(file: File, onProgress: (share: number) => void, signal?: AbortSignal): Promise<ImageInfo> {
    return upload(file, this.connection, onProgress, signal);
  }

  addPlane(image: string, place: Place): Promise<ImageInfo> {
    return this.requests.json("POST", `/images/${image}/planes`, place);
  }

  removeImage(id: string): Promise<void> {
    return this.requests.order("DELETE", `/images/${id}`);
  }

  async imageTile(
    image: ImageInfo,
    view: View,
    z: number,
    x: number,
    y: number,
    signal?: AbortSignal,
  ): Promise<ImageBitmap> {
    const path = `/images/${image.id}/tiles/${z}/${x}/${y}.png${viewQuery(image, view)}`;
    return createImageBitmap(await this.requests.bytes(path, signal));
  }

  async jobs(): Promise<Job[]> {
    return (await this.requests.json<{ jobs: Job[] }>("GET", "/jobs")).jobs;
  }

  startJob(request: JobRequest): Promise<Job> {
    return this.requests.json("POST", "/jobs", request);
  }

  cancelJob(id: string): Promise<void> {
    return this.requests.order("DELETE", `/jobs/${id}`);
  }

  continueJob(id: string): Promise<Job> {
    return this.requests.json("POST", `/jobs/${id}/continue`);
  }

  onJob(listener: (job: Job) => void): () => void {
    return this.events.listen(listener);
  }

  async results(image?: string): Promise<Result[]> {
    const query = image === undefined ? "" : `?image=${image}`;
    return (await this.requests.json<{ results: Result[] }>("GET", `/results${query}`)).results;
  }

  result(id: string): Promise<Result> {
    return this.requests.json("GET", `/results/${id}`);
  }

  async labelTile(result: Result, z: number, x: number, y: number, signal?: AbortSignal): Promise<LabelTile> {
    const path = `/results/${result.id}/labels/${z}/${x}/${y}.png?version=${result.version}`;
    return decodeLabels(await this.requests.bytes(path, signal));
  }

  cells(result: string): Promise<CellTable> {
    return this.requests.json("GET", `/results/${result}/cells`);
  }

  outline(result: string, cell: number): Promise<Outline> {
    return this.requests.json("GET", `/results/${result}/cells/${cell}`);
  }

  flood(result: string, thresholds: Partial<Thresholds>, discard = false): Promise<Result> {
    return this.requests.json("POST", `/results/${result}/thresholds`, { ...thresholds, discard });
  }

  edit(result: string, edit: Edit): Promise<EditOutcome> {
    return this.requests.json("POST", `/results/${result}/edits`, edit);
  }

  undo(result: string): Promise<EditOutcome> {
    return this.requests.json("POST", `/results/${result}/undo`);
  }

  redo(result: string): Promise<EditOutcome> {
    return this.requests.json("POST", `/results/${result}/redo`);
  }

  check(result: string, cells: number[], all?: boolean): Promise<Result> {
    return this.requests.json("POST", `/results/${result}/checked`, all === undefined ? { cells } : { cells, all });
  }

  async download(result: Result, format: string): Promise<{ blob: Blob; name: string }> {
    const suffix = result.formats.find(({ name }) => name === format)?.suffix ?? `.${format}`;
    const { blob, name } = await this.requests.file(`/results/${result.id}.${format}`);
    return { blob, name: name ?? `${result.id}${suffix}` };
  }
}
