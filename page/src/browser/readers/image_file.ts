/** Image files of all formats that are read in the browser. */
import { InputError } from "../../numerics/errors";
import type { Decoded } from "./decoded";
import { isJpeg, readJpeg } from "./jpeg";
import { isPng, readPng } from "./png";
import { isTiff, readTiff } from "./tiff";

/** Height times width of the largest image that is read. */
export const MOST_PIXELS = 4096 ** 2;

const FORMATS = [
  { fits: isPng, read: readPng },
  { fits: isTiff, read: readTiff },
  { fits: isJpeg, read: readJpeg },
];

/** Read an image file. */
export async function readImageFile(name: string, bytes: Uint8Array): Promise<Decoded> {
  const format = FORMATS.find(({ fits }) => fits(bytes));
  if (!format) {
    throw new InputError(
      `${name}: it is none of the formats that are read in the browser, expected PNG, TIFF or JPEG; save it as one ` +
        "of these, or open it with `dinocell serve`",
    );
  }
  return format.read(bytes, name, (height, width) => {
    if (height * width >= 1 && height * width <= MOST_PIXELS) return;
    throw new InputError(
      `${name}: it has ${height} × ${width} pixels, expected at most ${MOST_PIXELS} in the browser; use ` +
        "`dinocell serve`, or `dinocell segment-large` for images beyond memory",
    );
  });
}
