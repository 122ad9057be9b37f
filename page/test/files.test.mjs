// Image files of many kinds, read as Python reads them.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { bytes, digest, golden, load, root } from "./bundle.mjs";

const parts = await load("parts.ts");
const folder = join(root, "page", "test", "golden", "files");

for (const expected of golden("files.json")) {
  test(`${expected.name} is read as in Python`, async () => {
    const image = await parts.readImageFile(expected.name, bytes(folder, expected.name));
    const shape = [image.height, image.width, ...(image.channels > 1 ? [image.channels] : [])];
    assert.deepEqual(shape, expected.shape);
    assert.equal(image.dtype, expected.dtype.replace("bool", "uint8")); // 0 and 1
    assert.equal(digest(image.data), expected.sha256);
    if (!expected.pixel_size) assert.equal(image.pixelSize, null);
    else expected.pixel_size.forEach((size, axis) => assert.ok(Math.abs(image.pixelSize[axis] / size - 1) < 1e-6));
  });
}

test("a file that is cut off, or none, is named", async () => {
  for (const name of ["deep.png", "deflate.tif", "lzw.tif", "plain.tif"]) {
    const whole = bytes(folder, name);
    for (const length of [20, 100, whole.length - 60]) {
      const reading = parts.readImageFile(name, whole.slice(0, length));
      await assert.rejects(reading, (error) => error instanceof parts.InputError && error.message.startsWith(name));
    }
  }
  const text = new TextEncoder().encode("not an image");
  await assert.rejects(parts.readImageFile("a.txt", text), /a\.txt: it is none of the formats/);
});

test("an image beyond the limit is refused before it is unpacked", async () => {
  const header = bytes(folder, "gray.png").slice();
  new DataView(header.buffer).setUint32(16, 10 ** 7); // the width
  await assert.rejects(parts.readImageFile("wide.png", header), /wide\.png: it has 37 × 10000000 pixels, expected at most/);
});
