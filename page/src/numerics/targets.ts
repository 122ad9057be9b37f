/**
 * Choice between the targets of a model: what an image shows, whole cells or nuclei.
 *
 * Stained nuclei are bright, and the map of nuclei follows the grays; haematoxylin makes nuclei dark in an image
 * in colour; all others show whole cells. See `dinocell.inference.targets`, whose numbers these are.
 */
import type { Target } from "./labels";
import type { DistanceMap, Image, Plane, Window } from "./plane";

/** Numbers that `dinocell` fits to the weights of a model it ships; an exported page carries them. */
export interface TargetChoice {
  /** Correlation of grays with the map of nuclei, above which stained nuclei are seen. */
  bright: number;
  /** Ratio of the squares of both maps, above which the map of cells finds more than nuclei. */
  wider: number;
}

const COLOURED = 0.05; // share of pixels
const SATURATED = 0.03; // of the largest value of the image

/** Choose between cells and nuclei, given both maps and the image in 8-bit gray as the network sees it. */
export function chooseTarget(
  maps: Record<Target, DistanceMap>,
  gray: Plane<Uint8Array>,
  coloured: number,
  targets: readonly Target[],
  choice: TargetChoice,
): Target {
  const f = Math.fround;
  const pixels = gray.data.length;
  let [grays, graySquares, nuclei, nucleiSquares, products, cellSquares] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < pixels; i++) {
    const shade = f(gray.data[i] / 255);
    const [nucleus, cell] = [maps.nuclei.data[i], maps.cells.data[i]];
    grays += shade;
    graySquares += f(shade * shade);
    nuclei += nucleus;
    nucleiSquares += f(nucleus * nucleus);
    products += f(nucleus * shade);
    cellSquares += f(cell * cell);
  }
  if (nucleiSquares + cellSquares === 0) return targets[0];
  const spread = (pixels * graySquares - grays ** 2) * (pixels * nucleiSquares - nuclei ** 2);
  const correlation = spread > 0 ? (pixels * products - grays * nuclei) / Math.sqrt(spread) : 0;
  if (coloured * pixels > COLOURED * pixels && correlation < 0) return "nuclei";
  return correlation > choice.bright && cellSquares < choice.wider * nucleiSquares ? "nuclei" : "cells";
}

/** Compute the share of the pixels of a window of an image that are in colour. */
export function colouredShare(image: Image, window: Window): number {
  if (image.channels < 3) return 0;
  const f = Math.fround;
  let largest = 0;
  forPixels(image, window, (red, green, blue) => {
    for (const value of [red, green, blue]) if (value > largest) largest = value;
  });
  if (!(largest > 0)) return 0;
  let coloured = 0;
  let pixels = 0;
  forPixels(image, window, (red, green, blue) => {
    pixels++;
    if (f(Math.max(red, green, blue) - Math.min(red, green, blue)) > f(SATURATED * largest)) coloured++;
  });
  return coloured / pixels;
}

function forPixels(image: Image, window: Window, look: (r: number, g: number, b: number) => void): void {
  const f = Math.fround;
  for (let y = window.top; y < window.bottom; y++) {
    let at = (y * image.width + window.left) * image.channels;
    for (let x = window.left; x < window.right; x++, at += image.channels) {
      look(f(image.data[at]), f(image.data[at + 1]), f(image.data[at + 2]));
    }
  }
}
