/** Choices that are made for an image before cells are looked for: what to outline, and at what scale. */
import {
  addSizes,
  chooseScale,
  chooseTiles,
  estimateDiameter,
  mayShrink,
  noSizes,
  viewZooms,
  weighView,
  type Sizes,
} from "./autoscale";
import { InputError } from "./errors";
import type { Target } from "./labels";
import { rangesOf, settingsOf, type DiameterRange, type ModelConfig } from "./model";
import { cut, type DistanceMap, type Image, type Plane, type Window } from "./plane";
import type { GrayImage, Maps, Predictor } from "./prediction";
import { resize, scaledField } from "./resampling";
import type { Settings } from "./settings";
import { chooseTarget, colouredShare } from "./targets";

/** An image is enlarged at most this many times, so that a mistyped diameter does not fill the memory. */
const MAX_ENLARGEMENT = 16;

/** Output of the network for one image, before the watershed. */
export interface Prediction {
  map: DistanceMap;
  /** The factor on both sides of the image before the network saw it. */
  scale: number;
  target: Target;
}

/** Predict the map of an image after target and scale are chosen, as far as the settings leave them open. */
export async function predictImage(
  predictor: Predictor,
  source: Image,
  image: GrayImage,
  settings: Settings,
): Promise<Prediction> {
  const { targets } = settings;
  const scales = await findScales(predictor, image, settings);
  const scale = scales.get(targets[0]) ?? 1;
  const prepared = predictor.prepare(image, scale);
  const maps = await predictor.predictRescaled(image, scale, targets, prepared);
  const target = targets.length === 1 ? targets[0] : weighImage(predictor.config, source, image, prepared, maps);
  const wanted = scales.get(target) ?? 1;
  const found = wanted === scale ? maps : await predictor.predictRescaled(image, wanted, [target]);
  return { map: found.get(target) as DistanceMap, scale: wanted, target };
}

/** Return the factor that brings cells of a diameter to the nearest one that the model is best at. */
function scaleFor(config: ModelConfig, diameter: number | null, target: Target): number {
  if (diameter === null) return 1;
  const best = settingsOf(config, target).diameter_range;
  if (!best) {
    throw new InputError(
      `model ${config.variant} does not say which diameters of ${target} it is best at: leave diameter out`,
    );
  }
  const scale = Math.min(Math.max(diameter, best[0]), best[1]) / diameter;
  if (scale <= MAX_ENLARGEMENT) return scale;
  throw new InputError(
    `diameter is ${diameter} px: the image would be enlarged ${Math.round(scale)} times, expected at most ` +
      `${MAX_ENLARGEMENT}`,
  );
}

/** Find the scale for each target: by the diameter, or by what small views of the image show. */
async function findScales(
  predictor: Predictor,
  image: GrayImage,
  settings: Settings,
): Promise<Map<Target, number>> {
  const { targets, diameter } = settings;
  const { config } = predictor;
  if (diameter !== "auto") {
    return new Map(targets.map((target) => [target, scaleFor(config, diameter, target)]));
  }
  const ranges = new Map([...rangesOf(config)].filter(([target]) => targets.includes(target)));
  const zooms = viewZooms(ranges.values());
  const unscaled = new Map(targets.map((target) => [target, 1]));
  if (!zooms.length) return unscaled;
  const coarse = await predictView(predictor, image, zooms[1], targets);
  const shrinks = [...ranges].some(([target, best]) => {
    return mayShrink(coarse.get(target) as DistanceMap, zooms[1], best, config.confidence);
  });
  if (!shrinks) return unscaled;
  const fine = await predictView(predictor, image, zooms[0], targets);
  return new CloseLook(predictor, image, targets, zooms).scales(fine, coarse, ranges);
}

async function predictView(
  predictor: Predictor,
  image: GrayImage,
  zoom: number,
  targets: readonly Target[],
): Promise<Maps> {
  const { gray, field } = image;
  const small = predictor.prepare(image, zoom);
  return predictor.predictView(cut(small, scaledField(field, [gray.height, gray.width], zoom)), targets);
}

/** A look at tiles at full size, where the views show cells that would shrink the image. */
class CloseLook {
  private readonly seen = new Map<string, Maps>(); // in small images all tiles are the same
  private whole: Plane<Uint8Array> | null = null;

  constructor(
    private readonly predictor: Predictor,
    private readonly image: GrayImage,
    private readonly targets: readonly Target[],
    private readonly zooms: number[],
  ) {}

  async scales(fine: Maps, coarse: Maps, ranges: Map<Target, DiameterRange | null>): Promise<Map<Target, number>> {
    const weights = this.predictor.config.confidence;
    const scales = new Map<Target, number>();
    for (const [target, best] of ranges) {
      const view = fine.get(target) as DistanceMap;
      const views: [Sizes, Sizes] = [
        weighView(view, weights),
        weighView(coarse.get(target) as DistanceMap, weights),
      ];
      let diameter = estimateDiameter(views, noSizes(), this.zooms);
      if (chooseScale(diameter, best) !== 1) {
        diameter = estimateDiameter(views, await this.weighTiles(target, view), this.zooms);
      }
      scales.set(target, chooseScale(diameter, best));
    }
    return scales;
  }

  private async weighTiles(target: Target, view: DistanceMap): Promise<Sizes> {
    this.whole ??= cut(this.predictor.prepare(this.image, 1), this.image.field);
    let sizes = noSizes();
    for (const window of chooseTiles(view, this.zooms[0], this.whole.height, this.whole.width)) {
      const maps = await this.look(this.whole, window);
      const map = maps.get(target) as DistanceMap;
      sizes = addSizes(sizes, weighView(map, this.predictor.config.confidence));
    }
    return sizes;
  }

  private async look(whole: Plane<Uint8Array>, window: Window): Promise<Maps> {
    const key = JSON.stringify(window);
    const known = this.seen.get(key);
    if (known) return known;
    const maps = await this.predictor.predictView(cut(whole, window), this.targets);
    this.seen.set(key, maps);
    return maps;
  }
}

/** Choose the target of an image by its field, in grays as the network saw it. */
function weighImage(
  config: ModelConfig,
  source: Image,
  image: GrayImage,
  prepared: Plane<Uint8Array>,
  maps: Maps,
): Target {
  const { gray, field } = image;
  const seen = cut(resize(prepared, [gray.height, gray.width]), field);
  const within = (target: Target): DistanceMap => cut(maps.get(target) as DistanceMap, field);
  return chooseTarget(
    { cells: within("cells"), nuclei: within("nuclei") },
    seen,
    colouredShare(source, field),
    [...maps.keys()],
    config.target_choice,
  );
}
