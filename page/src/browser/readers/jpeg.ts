/** JPEG files, decoded by the browser. */
import { InputError } from "../../numerics/errors";
import type { Decoded } from "./decoded";

export function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;
}

/** Decode a JPEG file as it is stored: no profile corrects its colours, and no tag turns it. */
export async function readJpeg(
  bytes: Uint8Array,
  name: string,
  check: (height: number, width: number) => void,
): Promise<Decoded> {
  const components = findComponents(bytes);
  const damaged = new InputError(`${name}: it cannot be decoded, expected a whole JPEG file; save it again`);
  if (!components) throw damaged;
  check(components.height, components.width);
  let bitmap: ImageBitmap;
  try {
    const blob = new Blob(withoutTags(bytes) as BlobPart[], { type: "image/jpeg" });
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    throw damaged;
  }
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("the browser has no canvas to decode images with");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const channels = components.count === 1 ? 1 : 3;
  const data = new Uint8Array(height * width * channels);
  for (let at = 0; at < data.length; at++) data[at] = rgba[Math.floor(at / channels) * 4 + (at % channels)];
  return { height, width, channels, data, dtype: "uint8", rgb: channels === 3, pixelSize: null, notes: [] };
}

/** Return the file without its Exif tags, of which one would turn the image. */
function withoutTags(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kept: Uint8Array[] = [bytes.subarray(0, 2)];
  for (let at = 2; at + 4 < bytes.length; ) {
    const length = 2 + view.getUint16(at + 2);
    if (bytes[at] !== 0xff || bytes[at + 1] === 0xda) return [...kept, bytes.subarray(at)]; // pixels begin
    if (bytes[at + 1] !== 0xe1) kept.push(bytes.subarray(at, at + length));
    at += length;
  }
  return kept;
}

/** Read size and number of components off the frame header; null where there is none. */
function findComponents(bytes: Uint8Array): { height: number; width: number; count: number } | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 2; at + 9 < bytes.length; ) {
    if (bytes[at] !== 0xff) return null;
    const marker = bytes[at + 1];
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { height: view.getUint16(at + 5), width: view.getUint16(at + 7), count: bytes[at + 9] };
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
  return null;
}
