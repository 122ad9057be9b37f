/** View of the map on an image. */

import View from "ol/View";
import Projection from "ol/proj/Projection";
import type { ImageInfo } from "../backend";
import { extentOf } from "./coordinates";
import type { Pyramid } from "./pyramid";

/** Screen pixels that a pixel of the image has at most. */
const CLOSEST = 40;
const GLIDE_MS = 250;

/** Return the pyramid of an image. */
export function pyramidOf({ width, height, levels }: ImageInfo): Pyramid {
  return { width, height, levels };
}

/** Return a view of the map for an image, in its pixels. */
export function viewFor({ width, height }: ImageInfo): View {
  const extent = extentOf([0, 0, height, width]);
  return new View({
    projection: new Projection({ code: "pixels", units: "pixels", extent }),
    extent,
    constrainOnlyCenter: true,
    smoothExtentConstraint: false,
    enableRotation: false,
    minResolution: 1 / CLOSEST,
    maxResolution: Math.max(width, height) / 100,
    center: [width / 2, -height / 2],
    resolution: 1,
  });
}

/** Return how long the picture glides, in milliseconds: not at all for those who asked for less motion. */
export function glideTime(): number {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : GLIDE_MS;
}

/** Return a text that differs where the picture was moved. */
export function positionOf(view: View): string {
  return `${view.getCenter()} ${view.getResolution()}`;
}
