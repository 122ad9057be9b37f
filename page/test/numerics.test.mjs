// What the page computes from an image, held to what Python computes: `benchmarks/ship_page.py`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { digest, digestLabels, golden, load, readMap, readSample } from "./bundle.mjs";

const parts = await load("parts.ts");
const { config, samples } = golden("samples.json");

/** Return part of a sample as another type, with values that fill it. */
function partOf(image, [top, bottom, left, right], dtype) {
  const { channels } = image;
  const make = { uint8: (v) => v, uint16: (v) => v * 211 + 57, float32: scaledDown }[dtype];
  const kind = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array }[dtype];
  const data = new kind((bottom - top) * (right - left) * channels);
  let to = 0;
  for (let y = top; y < bottom; y++) {
    for (let at = (y * image.width + left) * channels; at < (y * image.width + right) * channels; at++) {
      data[to++] = make(image.data[at]);
    }
  }
  return { height: bottom - top, width: right - left, channels, data };
}

function scaledDown(value) {
  return Math.fround(Math.fround(value * Math.fround(0.37)) - 11);
}

function withMargin(image, above, beside) {
  const [height, width, channels] = [image.height + above, image.width + beside, image.channels];
  const data = new Uint8Array(height * width * channels);
  for (let y = 0; y < image.height; y++) {
    const row = image.data.subarray(y * image.width * channels, (y + 1) * image.width * channels);
    data.set(row, (y + above) * width * channels);
  }
  return { height, width, channels, data };
}

/** Return a map of a few heights, so that ties decide. */
function withPlateaus(map, steps) {
  return { ...map, data: map.data.map((value) => parts.roundEven(Math.fround(value * steps)) / steps) };
}

for (const [name, expected] of Object.entries(samples)) {
  test(`${name}: preprocessed bytes are Python's`, async () => {
    const image = await readSample(parts, name);
    const gray = parts.preprocess(parts.toGrayscale(image), config.preprocessing);
    assert.equal(digest(gray.data), expected.gray);
    for (const one of expected.preprocessing) {
      const part = one.margin ? withMargin(image, ...one.margin) : partOf(image, one.box, one.dtype);
      const made = parts.preprocess(parts.toGrayscale(part), config.preprocessing, one.scale);
      assert.equal(digest(made.data), one.sha256, JSON.stringify(one));
    }
  });

  test(`${name}: a map in another size is Python's`, async () => {
    const map = await readMap(parts, name);
    for (const { shape, every, values } of expected.resized) {
      const { data } = parts.resize(map, shape);
      values.forEach((value, at) => {
        assert.ok(Math.abs(data[at * every] - value) < 1e-6, `${data[at * every]}, expected ${value}, at ${shape}`);
      });
    }
  });

  test(`${name}: cells of a map are Python's`, async () => {
    const map = await readMap(parts, name);
    for (const { thresholds, steps, fill_holes, count, labels } of expected.floods) {
      const found = parts.distanceToLabels(steps ? withPlateaus(map, steps) : map, thresholds, fill_holes);
      assert.equal(parts.maxId(found), count, `${JSON.stringify(thresholds)}, ${steps} steps`);
      assert.equal(digestLabels(found), labels, `${JSON.stringify(thresholds)}, ${steps} steps`);
    }
    const own = config.targets[expected.target].thresholds;
    const kept = parts.removeSmall(parts.distanceToLabels(map, own), "auto", expected.target);
    assert.deepEqual([kept.minSize, kept.removed], [expected.min_size, expected.removed]);
    assert.equal(digestLabels(kept.labels), expected.labels);
  });
}
