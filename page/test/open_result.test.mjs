// A result that is open in the browser: what it says of its cells is of the cells that there are now.
import assert from "node:assert/strict";
import { test } from "node:test";
import { golden, load, readMap } from "./bundle.mjs";

const parts = await load("parts.ts");
const { config, samples } = golden("samples.json");

test("after a slider, doubts are about the cells that it left", async () => {
  const name = "phase_1"; // of which a speck is removed
  const map = await readMap(parts, name);
  const { target } = samples[name];
  const { thresholds } = config.targets[target];
  const settings = { targets: [target], diameter: null, thresholds: new Map(), min_size: "auto", fill_holes: false };
  const found = { ...parts.findCells(map, thresholds, settings, target), map, target, scale: 1, thresholds, warnings: ["w"] };
  const image = { info: { id: "i" } };
  const result = new parts.OpenResult({ id: "r", job: "j", image, config, settings, engine: "", found });
  const before = result.describe();
  assert.deepEqual(before.warnings, ["w", "1 object under 394 px removed"]);
  const changed = result.flood({ cells_max_threshold: 0.8, merge: 0.9 }, false);
  assert.ok(changed.count < before.count);
  assert.deepEqual(changed.warnings.filter((words) => words.includes("removed")), []);
  assert.deepEqual(result.flood(before.own_thresholds, false).warnings, before.warnings);
});
