// PNG of RGB pixels, as small as a test needs it.
import { crc32, deflateSync } from "node:zlib";

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

/** Return a PNG of pixels that a function gives: 0xRRGGBB at a row and column. */
export function png(width, height, pixelAt) {
  const raw = Buffer.alloc(height * (1 + 3 * width));
  for (let row = 0, at = 0; row < height; row++) {
    at++;
    for (let column = 0; column < width; column++) {
      const pixel = pixelAt(row, column);
      raw[at++] = pixel >> 16;
      raw[at++] = (pixel >> 8) & 255;
      raw[at++] = pixel & 255;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(raw, { level: 1 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
