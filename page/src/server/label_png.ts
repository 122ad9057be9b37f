/** Labels in PNG: the id of a pixel is 65536 red + 256 green + blue. */

import type { LabelTile } from "../backend";

/** Return the ids of a PNG, exactly: nothing on the way may correct colours. */
export async function decodeLabels(png: Blob): Promise<LabelTile> {
  const bitmap = await createImageBitmap(png, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("The browser has no canvas to read labels with");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { ids: idsOf(context.getImageData(0, 0, width, height).data), width, height };
}

/** Return the ids of pixels of red, green, blue and alpha. */
export function idsOf(pixels: Uint8ClampedArray): Uint32Array {
  const ids = new Uint32Array(pixels.length / 4);
  for (let at = 0, from = 0; at < ids.length; at++, from += 4) {
    ids[at] = (pixels[from] << 16) | (pixels[from + 1] << 8) | pixels[from + 2];
  }
  return ids;
}
