// The whole way from image to cells with the network in WebAssembly, held to Python's.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import * as ort from "onnxruntime-web/wasm";
import { bytes, digestLabels, golden, load, readMap, readSample, root } from "./bundle.mjs";

const TOLERANCE = 1e-4; // of a map
const OVERLAP = 0.99; // IoU of every cell

const parts = await load("parts.ts");
const { config, samples } = golden("samples.json");
const model = join(root, "src", "dinocell", "models", "shipped", config.variant);
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = bytes(root, "page", "node_modules", "onnxruntime-web", "dist", "ort-wasm-simd-threaded.wasm");
const files = { graph: bytes(model, "model.onnx"), weights: bytes(model, "model.safetensors") };
const network = await parts.openNetwork(ort, files, "wasm");

/** Return the lowest IoU of a cell with its best match. */
function worstOverlap(one, other) {
  const [areas, others, shared] = [new Map(), new Map(), new Map()];
  const add = (counts, key) => counts.set(key, (counts.get(key) ?? 0) + 1);
  one.data.forEach((id, at) => {
    const match = other.data[at];
    if (id) add(areas, id);
    if (match) add(others, match);
    if (id && match) add(shared, `${id} ${match}`);
  });
  const best = new Map([...areas.keys()].map((id) => [id, 0]));
  for (const [pair, count] of shared) {
    const [id, match] = pair.split(" ").map(Number);
    best.set(id, Math.max(best.get(id), count / (areas.get(id) + others.get(match) - count)));
  }
  return Math.min(1, ...best.values());
}

/** Return part of an image with every pixel repeated. */
function enlarged(image, [top, bottom, left, right], times) {
  const { channels } = image;
  const [height, width] = [(bottom - top) * times, (right - left) * times];
  const data = new image.data.constructor(height * width * channels);
  for (let at = 0; at < data.length; at++) {
    const [pixel, channel] = [Math.floor(at / channels), at % channels];
    const y = top + Math.floor(Math.floor(pixel / width) / times);
    const x = left + Math.floor((pixel % width) / times);
    data[at] = image.data[(y * image.width + x) * channels + channel];
  }
  return { height, width, channels, data };
}

for (const [name, expected] of Object.entries(samples)) {
  test(`${name}: segmented as in Python`, async (context) => {
    const image = await readSample(parts, name);
    const map = await readMap(parts, name);
    const predictor = new parts.Predictor(config, network);
    const found = await parts.segment(image, predictor, parts.completed({}, config));
    const difference = found.map.data.reduce((most, value, at) => Math.max(most, Math.abs(value - map.data[at])), 0);
    const own = parts.distanceToLabels(map, config.targets[expected.target].thresholds);
    const labels = parts.removeSmall(own, "auto", expected.target).labels;
    const overlap = worstOverlap(labels, found.labels);
    const same = digestLabels(found.labels) === expected.labels_of_run;
    context.diagnostic(`map ${difference.toExponential(1)}, ${parts.maxId(found.labels)} cells, worst IoU ${overlap}, same labels: ${same}`);
    assert.equal(found.target, expected.target);
    assert.ok(Math.abs(found.scale / expected.scale - 1) < 1e-4, `scale ${found.scale}, expected ${expected.scale}`);
    assert.ok(difference <= TOLERANCE, `the maps differ by ${difference}`);
    assert.equal(parts.maxId(found.labels), expected.count);
    assert.ok(overlap >= OVERLAP, `a cell has an IoU of ${overlap}`);
    assert.deepEqual(found.warnings, expected.warnings);
  });
}

for (const [name, { shrunk }] of Object.entries(samples)) {
  test(`${name}: enlarged, and shrunk again as in Python`, async (context) => {
    const image = await readSample(parts, name);
    for (const expected of shrunk) {
      const predictor = new parts.Predictor(config, network);
      const large = enlarged(image, expected.box, expected.times);
      const found = await parts.segment(large, predictor, parts.completed({}, config));
      const pixels = found.labels.data.filter((id) => id > 0).length;
      context.diagnostic(`scale ${found.scale}, ${parts.maxId(found.labels)} cells of ${pixels} px`);
      assert.ok(Math.abs(found.scale / expected.scale - 1) < 1e-3, `scale ${found.scale}, expected ${expected.scale}`);
      assert.deepEqual([found.target, parts.maxId(found.labels)], [expected.target, expected.count]);
      assert.ok(Math.abs(pixels / expected.pixels - 1) < 2e-3, `${pixels} pixels, expected ${expected.pixels}`);
    }
  });
}

test("work ends between two tiles where it is cancelled", async () => {
  const image = await readSample(parts, "phase_1");
  const cancel = new AbortController();
  const seen = [];
  const onTile = (done) => {
    seen.push(done);
    if (done === 2) cancel.abort();
  };
  const predictor = new parts.Predictor(config, network, onTile, cancel.signal);
  const settings = parts.completed({ diameter: "none" }, config);
  await assert.rejects(parts.segment(image, predictor, settings), parts.Cancelled);
  assert.deepEqual(seen, [1, 2]);
});
