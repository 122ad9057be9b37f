// Measurements and outlines of the samples' cells, held to Python's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { digest, golden, load, readMap, readSample } from "./bundle.mjs";

const TOLERANCE = 1e-6; // relative; of a confidence 1e-5, as its map is in single precision

const parts = await load("parts.ts");
const { config, samples } = golden("samples.json");

for (const [name, expected] of Object.entries(samples)) {
  test(`${name}: cells measured as in Python`, async () => {
    const [image, map] = [await readSample(parts, name), await readMap(parts, name)];
    const own = config.targets[expected.target].thresholds;
    const { labels } = parts.removeSmall(parts.distanceToLabels(map, own), "auto", expected.target);
    const { columns } = parts.measureCells(labels, {
      channels: new Map([["", parts.toGrayscale(image)]]),
      pixelSize: 0.325,
      confidence: parts.cellConfidence(labels, map, config.confidence),
    });
    assert.deepEqual(Object.keys(columns), Object.keys(expected.table));
    for (const [column, values] of Object.entries(expected.table)) {
      const tolerance = column === "confidence" ? 1e-5 : TOLERANCE;
      values.forEach((value, row) => {
        const found = columns[column][row];
        const near = Math.abs(found - value) <= tolerance * Math.max(1, Math.abs(value));
        assert.ok(near, `${column} of cell ${row + 1} is ${found}, expected ${value}`);
      });
    }
  });

  test(`${name}: outlines are Python's`, async () => {
    const map = await readMap(parts, name);
    const own = config.targets[expected.target].thresholds;
    const { labels } = parts.removeSmall(parts.distanceToLabels(map, own), "auto", expected.target);
    const outlines = JSON.stringify([...parts.cellPolygons(labels).values()]);
    // Python writes a space after every comma.
    assert.equal(digest(outlines.replaceAll(",", ", ")), expected.outlines);
  });
}
