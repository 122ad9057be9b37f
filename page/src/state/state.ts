/** All that the page knows, and what of it is shown. */

import type { CellTable, ImageInfo, Job, Model, Result } from "../backend";
import type { Filter } from "../table/filter";
import type { Sorting } from "../table/order";
import type { ChannelSetting } from "../viewer/channels";
import type { LabelShape } from "../viewer/label_painting";

/** A file on its way. */
export interface Upload {
  name: string;
  /** From 0 to 1. */
  share: number;
  /** Why it failed. */
  problem: string | null;
  cancel: () => void;
}

export type Mode = "move" | "add" | "split" | "merge" | "delete" | "paint";

/** What a mode is done with, where there is more than one way. */
export type Tool = "click" | "box" | "outline" | "line";

export interface LabelSetting {
  shape: LabelShape | "hidden";
  /** Column of the table that the colours show. */
  colourBy: string | null;
  /** From 0 to 1. */
  opacity: number;
}

export interface SegmentSetting {
  model: string | null;
  target: string;
  /** Name of the channel that is looked at, of images that have several; their first where it is not there. */
  channel: string | null;
  size: "auto" | "none" | "given";
  /** In pixels. */
  diameter: number;
}

export interface Notice {
  text: string;
  isProblem: boolean;
}

/** Cell or new cell that the brush paints; "under" is the one where a stroke begins. */
export type PaintTarget = { cell: number } | "new" | "under";

export interface State {
  models: Model[];
  images: ImageInfo[];
  uploads: Upload[];
  jobs: Job[];
  results: Result[];
  isLost: boolean;

  image: ImageInfo | null;
  result: Result | null;
  /** Measurements of the shown result; null while they are not there. */
  table: CellTable | null;
  channels: ChannelSetting[];
  labels: LabelSetting;
  segment: SegmentSetting;

  sorting: Sorting;
  filter: Filter | null;
  /** Column of the histogram. */
  column: string | null;
  /** Cell that is chosen in table and picture. */
  selected: number | null;
  /** Cell that `N` shows and the next `N` calls right. */
  underReview: number | null;
  pointer: { row: number; column: number; cell: number | null } | null;

  mode: Mode;
  tool: Tool;
  /** Diameter in pixels. */
  brush: number;
  isErasing: boolean;
  paintTarget: PaintTarget;

  theme: "system" | "light" | "dark";
  notice: Notice | null;
}

export const START: State = {
  models: [],
  images: [],
  uploads: [],
  jobs: [],
  results: [],
  isLost: false,
  image: null,
  result: null,
  table: null,
  channels: [],
  labels: { shape: "fill", colourBy: null, opacity: 1 },
  segment: { model: null, target: "auto", channel: null, size: "auto", diameter: 30 },
  sorting: { column: "id", isDescending: false },
  filter: null,
  column: null,
  selected: null,
  underReview: null,
  pointer: null,
  mode: "move",
  tool: "click",
  brush: 10,
  isErasing: false,
  paintTarget: "under",
  theme: "system",
  notice: null,
};
