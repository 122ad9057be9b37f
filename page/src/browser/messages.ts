/** Messages between the page and the worker that segments. */
import type { Backend, ImageInfo, Job, Model } from "../backend";

/** What the worker does for the page: the calls of a `Backend`, by name. */
export interface Calls
  extends Pick<
    Backend,
    | "models"
    | "images"
    | "removeImage"
    | "imageTile"
    | "jobs"
    | "startJob"
    | "cancelJob"
    | "results"
    | "result"
    | "labelTile"
    | "cells"
    | "outline"
    | "flood"
    | "edit"
    | "undo"
    | "redo"
    | "check"
    | "download"
  > {
  /** Load the description of the model; `base` is the address of the folder that the page lies in. */
  open(base: string): Promise<Model[]>;
  addImage(name: string, bytes: Uint8Array): Promise<ImageInfo>;
}

export type CallName = keyof Calls;

export interface Order {
  number: number;
  call: CallName;
  given: unknown[];
}

export type Answer =
  | { number: number; found: unknown }
  /** `known` is true for what a person can act on. */
  | { number: number; problem: string; known: boolean }
  | { job: Job };
