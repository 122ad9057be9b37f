/**
 * What the page needs of whatever segments: a server over HTTP (`server/`), or the browser alone (`browser/`).
 *
 * Points are [row, column] in pixels, whole numbers are the centres of pixels. Ids of cells are 1…N; 0 is background.
 */

export type Point = [number, number];

export interface Model {
  name: string;
  description: string;
  targets: string[];
  /** True for one that a user adapted. */
  own: boolean;
}

export interface Channel {
  index: number;
  name: string;
  /** Values that are shown as black and as white where nobody chose others: 0.1st and 99.9th percentile. */
  low: number;
  high: number;
  /** Smallest and largest value. */
  least: number;
  most: number;
}

/** A plane of a file; numbers are counted from 0. */
export interface Place {
  scene: number;
  time: number;
  /** Number of the slice. */
  z: number;
}

export interface ImageInfo {
  id: string;
  name: string;
  bytes: number;
  /** Hash of the file, by which planes of one file are known; null where nobody computed it. */
  sha256: string | null;
  width: number;
  height: number;
  /** Type of the values, as NumPy names it. */
  dtype: string;
  /** True where the channels are red, green and blue. */
  rgb: boolean;
  channels: Channel[];
  /** Height and width of a pixel in micrometres. */
  pixel_size_um: [number, number] | null;
  /** Zoom levels; tiles of level `levels - 1` show every pixel, each level below half of it. */
  levels: number;
  /** How many the file has; an image is one plane of it. */
  scenes: number;
  times: number;
  slices: number;
  place: Place;
  created: string;
  notes: string[];
}

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled" | "interrupted";

export interface Progress {
  /** What is done now, in words. */
  stage: string;
  done: number;
  /** 0 where nobody knows. */
  total: number;
}

export interface Job {
  id: string;
  kind: "segment" | "segment-large" | "measure" | "fine-tune";
  state: JobState;
  image: string | null;
  /** The result that it made. */
  result: string | null;
  progress: Progress;
  /** Why it failed, in words for people. */
  problem: string | null;
  settings: Record<string, unknown>;
  created: string;
  /** Of a fine-tuning: the loss so far. */
  curve: { step: number; loss: number }[];
  /** Of a fine-tuning that is done: its model, and scores of the cells that were held back. */
  learned: { model: string; images: number; before: number | null; after: number | null } | null;
}

/** Settings have the names that they have on the command line and in YAML; those left out are the model's. */
export type JobRequest =
  | { kind: "segment" | "segment-large"; image: string; settings?: Record<string, unknown> }
  | { kind: "measure"; image: string; labels: string; settings?: Record<string, unknown> }
  | { kind: "fine-tune"; results: string[]; settings?: Record<string, unknown> };

export interface Thresholds {
  cells_max_threshold: number;
  cell_fill_threshold: number;
  merge: number;
  regrow: boolean;
}

export interface Result {
  id: string;
  image: string;
  job: string;
  model: string;
  target: string;
  /** Number of cells. */
  count: number;
  width: number;
  height: number;
  thresholds: Thresholds;
  /** Those of the model, to go back to. */
  own_thresholds: Thresholds;
  /** Whether the sliders can flood again: the distance map is there. */
  adjustable: boolean;
  /** Whether it can be corrected. */
  editable: boolean;
  warnings: string[];
  /** Edits that hold. */
  edits: number;
  can_undo: boolean;
  can_redo: boolean;
  /** Cells that a person has looked at. */
  checked: number[];
  /** Whether a person has looked at all of it. */
  all_checked: boolean;
  /** Changes with every change of the labels, and with it the addresses of tiles. */
  version: number;
  formats: { name: string; suffix: string; meaning: string }[];
}

export type Edit =
  | { edit: "add"; points?: Point[]; outside?: Point[]; box?: [Point, Point]; outline?: Point[]; level?: number }
  | { edit: "split"; points?: Point[][]; line?: Point[] }
  | { edit: "merge"; ids: number[] }
  | { edit: "delete"; ids: number[] }
  /** `mask`: row, first column and number of pixels, in runs; `id` 0 erases, null is a new cell. */
  | { edit: "paint"; id: number | null; mask: [number, number, number][] };

export interface EditOutcome {
  result: Result;
  /** Cells that it made or changed and that are still there. */
  ids: number[];
  notes: string[];
  /** What changed: first row, first column, row and column after the last; null where nothing did. */
  box: [number, number, number, number] | null;
}

/** A row a cell, by column; `id`, `confidence` where there is a map, then measurements. */
export interface CellTable {
  columns: Record<string, (number | string | boolean | null)[]>;
}

export interface Outline {
  id: number;
  /** Rings of [row, column], half a pixel beyond centres: the first of each part is its outside, others are holes. */
  parts: Point[][][];
  /** First row, first column, row and column after the last. */
  box: [number, number, number, number];
}

/** Ids of a tile, row by row. */
export interface LabelTile {
  ids: Uint32Array;
  width: number;
  height: number;
}

/** How an image is shown; a channel that is not in `channels` is hidden. */
export interface View {
  channels: { index: number; low: number; high: number; colour: string }[];
}

/** Raised by a backend with words that a person can act on. */
export class BackendError extends Error {}

export interface Backend {
  readonly kind: "server" | "browser";
  /** What it cannot do, so that the page leaves it out. */
  readonly abilities: { fineTune: boolean; large: boolean; keeps: boolean; planes: boolean };

  models(): Promise<Model[]>;

  images(): Promise<ImageInfo[]>;
  addImage(file: File, onProgress: (share: number) => void, signal?: AbortSignal): Promise<ImageInfo>;
  /** Read another plane of an image's file, as an image of its own. */
  addPlane(image: string, place: Place): Promise<ImageInfo>;
  removeImage(id: string): Promise<void>;
  /** A tile of at most 256×256, x to the right and y down. */
  imageTile(image: ImageInfo, view: View, z: number, x: number, y: number, signal?: AbortSignal): Promise<ImageBitmap>;

  jobs(): Promise<Job[]>;
  startJob(request: JobRequest): Promise<Job>;
  cancelJob(id: string): Promise<void>;
  /** Go on with a job that was interrupted. */
  continueJob(id: string): Promise<Job>;
  /** Call a listener with every job that changes; returns what ends that. */
  onJob(listener: (job: Job) => void): () => void;

  results(image?: string): Promise<Result[]>;
  result(id: string): Promise<Result>;
  /** Ids of a tile of at most 256×256, row by row, with its width and height. */
  labelTile(result: Result, z: number, x: number, y: number, signal?: AbortSignal): Promise<LabelTile>;
  cells(result: string): Promise<CellTable>;
  outline(result: string, cell: number): Promise<Outline>;

  /** Flood again from the distance map; forgets edits, and is refused where there are some unless `discard`. */
  flood(result: string, thresholds: Partial<Thresholds>, discard?: boolean): Promise<Result>;
  edit(result: string, edit: Edit): Promise<EditOutcome>;
  undo(result: string): Promise<EditOutcome>;
  redo(result: string): Promise<EditOutcome>;
  /** Note cells as looked at, or all of them. */
  check(result: string, cells: number[], all?: boolean): Promise<Result>;

  /** A file in one of the result's formats, with its name. */
  download(result: Result, format: string): Promise<{ blob: Blob; name: string }>;
}
