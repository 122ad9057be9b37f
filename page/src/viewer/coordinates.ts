/** Pixels of an image on the map: x to the right and y up, so that row 0 lies between 0 and -1. */

import type { Coordinate } from "ol/coordinate";
import type { Extent } from "ol/extent";
import type { Point } from "../backend";

/** Return the row and column of a place on the map; whole numbers are the centres of pixels. */
export function pointAt([x, y]: Coordinate): Point {
  return [-y - 0.5, x - 0.5];
}

/** Return the place of a row and column on the map. */
export function placeOf([row, column]: Point): Coordinate {
  return [column + 0.5, -row - 0.5];
}

/** Return the place of a box of first row and column and those after the last. */
export function extentOf([top, left, bottom, right]: readonly [number, number, number, number]): Extent {
  return [left, -bottom, right, -top];
}
