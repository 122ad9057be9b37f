/** Image to labels: predict the distance map, then watershed. */
import { findField } from "./field";
import { medianDiameter, type Target } from "./labels";
import { settingsOf } from "./model";
import { predictImage } from "./overview";
import type { DistanceMap, Image, Labels } from "./plane";
import type { Predictor } from "./prediction";
import { toGrayscale } from "./preprocessing";
import type { Settings } from "./settings";
import { removeSmall } from "./small_cells";
import { replaced, type Thresholds } from "./thresholds";
import { distanceToLabels } from "./watershed";

/** Result for one image, and how it was made. */
export interface Segmentation {
  labels: Labels;
  map: DistanceMap;
  target: Target;
  scale: number;
  thresholds: Thresholds;
  minSize: number;
  removed: number;
  warnings: string[];
}

/** Median cells that are beyond the trained range by more than this factor bring a warning. */
const OUTSIDE = 1.15;

/** Segment an image; `onMap` is called when the network is done, and cells are looked for. */
export async function segment(
  image: Image,
  predictor: Predictor,
  settings: Settings,
  onMap: () => void = () => undefined,
): Promise<Segmentation> {
  const gray = toGrayscale(image);
  const found = await predictImage(predictor, image, { gray, field: findField(gray) }, settings);
  onMap();
  const thresholds = settings.thresholds.get(found.target) as Thresholds;
  const kept = findCells(found.map, thresholds, settings, found.target);
  const best = settingsOf(predictor.config, found.target).diameter_range;
  const doubt = describeSize(medianDiameter(kept.labels), found.scale, best, settings.diameter);
  return { ...found, ...kept, thresholds, warnings: doubt ? [doubt] : [] };
}

/** Flood a map, and remove what is too small. */
export function findCells(
  map: DistanceMap,
  thresholds: Thresholds,
  settings: Settings,
  target: Target,
): { labels: Labels; minSize: number; removed: number } {
  return removeSmall(distanceToLabels(map, replaced(thresholds, {}), settings.fill_holes), settings.min_size, target);
}

/** Describe how the cells found are outside of the sizes that a model knows, and what to do; null if they are not. */
function describeSize(
  diameter: number,
  scale: number,
  best: [number, number] | null,
  asked: number | "auto" | null,
): string | null {
  if (Number.isNaN(diameter) || !best) return null;
  const seen = diameter * scale;
  if (best[0] / OUTSIDE <= seen && seen <= best[1] * OUTSIDE) return null;
  const rescaled = scale === 1 ? "" : ` (${seen.toFixed(0)} px as the model saw it)`;
  const found = Math.max(1, Math.round(diameter));
  const remedy =
    asked === found ? "look at the outlines before you trust the cells" : `try diameter=${asked === null ? "'auto'" : found}`;
  return (
    `the median cell is ${diameter.toFixed(0)} px wide${rescaled}, outside of the ${best[0]} to ${best[1]} px ` +
    `that the model knows: ${remedy}`
  );
}
