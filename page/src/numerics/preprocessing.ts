/** Image to the 8-bit gray that the network sees: grayscale, robust scaling, resize, CLAHE, in this order. */
import { applyClahe } from "./clahe";
import { InputError } from "./errors";
import { findField } from "./field";
import { findRange, toUint8 } from "./intensity_range";
import { cut, isWhole, paste, type Image, type Plane, type Window } from "./plane";
import { resize, scaledField, scaledShape } from "./resampling";

/** Settings of a model, as its `config.json` names them. */
export interface Preprocessing {
  low_percentile: number;
  high_percentile: number;
  clahe: boolean;
  clahe_clip_limit: number;
  clahe_window: number;
}

/** ITU-R BT.601 weights of red, green and blue. */
const LUMINANCE = [0.299, 0.587, 0.114];

/** Reduce an image to one channel: ITU-R 601 luminance of RGB, alpha dropped; float32 or float64 of colour. */
export function toGrayscale(image: Image): Plane {
  const { height, width, channels, data } = image;
  if (!data.length) throw new InputError(`image has shape (${height}, ${width}): it holds no pixels`);
  if (channels === 1) return { height, width, data };
  if (channels !== 3 && channels !== 4) {
    throw new InputError(
      `image has ${channels} channels, expected 1 (gray), 3 (RGB) or 4 (RGBA): choose one channel`,
    );
  }
  const single = data.BYTES_PER_ELEMENT <= 2;
  const f = single ? Math.fround : (value: number): number => value;
  const [red, green, blue] = LUMINANCE.map(f);
  const gray = single ? new Float32Array(height * width) : new Float64Array(height * width);
  for (let i = 0, at = 0; i < gray.length; i++, at += channels) {
    gray[i] = f(f(f(data[at] * red) + f(data[at + 1] * green)) + f(data[at + 2] * blue));
  }
  return { height, width, data: gray };
}

/**
 * Convert a gray image, from `toGrayscale`, to network input.
 *
 * Constant margins count for nothing: the field within them becomes what it would without them, and they become 0.
 *
 * @param scale Factor on both sides; 2 doubles the cells' diameter.
 */
export function preprocess(
  gray: Plane,
  settings: Preprocessing,
  scale = 1,
  field: Window = findField(gray),
): Plane<Uint8Array> {
  const inner = preprocessField(cut(gray, field), settings, scale);
  if (isWhole(field, gray)) return inner;
  const [height, width] = scaledShape([gray.height, gray.width], scale);
  const whole = { height, width, data: new Uint8Array(height * width) };
  paste(whole, scaledField(field, [gray.height, gray.width], scale), inner);
  return whole;
}

function preprocessField(gray: Plane, settings: Preprocessing, scale: number): Plane<Uint8Array> {
  const range = findRange(gray, settings.low_percentile, settings.high_percentile);
  const scaled = resize(toUint8(gray, range), scaledShape([gray.height, gray.width], scale));
  if (!settings.clahe || !scaled.data.some((level) => level > 0)) return scaled;
  return applyClahe(scaled, settings.clahe_clip_limit, settings.clahe_window);
}
