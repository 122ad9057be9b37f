import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "./sources.mjs";

const { areOfOneFile, axesOf, nameOf, placeWithin, planeAt } = await source("state/places");

const plane = (id, time, z, rest = {}) => ({
  id,
  name: "stack.tif",
  sha256: "abc",
  scenes: 1,
  times: 4,
  slices: 11,
  place: { scene: 0, time, z },
  ...rest,
});

test("a plane is named by the axes of which there are several", () => {
  assert.equal(nameOf(plane("a", 3, 10)), "stack.tif · time 3 · slice 10");
  assert.equal(nameOf(plane("a", 0, 0, { scenes: 2, times: 1, slices: 1 })), "stack.tif · scene 0");
  assert.equal(nameOf(plane("a", 0, 0, { times: 1, slices: 1 })), "stack.tif");
  assert.deepEqual(
    axesOf(plane("a", 0, 0)).map(({ key, count }) => [key, count]),
    [
      ["time", 4],
      ["z", 11],
    ],
  );
});

test("a place stays inside of the file, and what is no number is left as it is", () => {
  const image = plane("a", 2, 5);
  assert.deepEqual(placeWithin(image, { scene: 7, time: 99, z: -3 }), { scene: 0, time: 3, z: 0 });
  assert.deepEqual(placeWithin(image, { scene: 0, time: Number.NaN, z: 4.4 }), { scene: 0, time: 2, z: 4 });
});

test("a plane is found among those of its own file only", () => {
  const [first, second] = [plane("a", 0, 5), plane("b", 1, 5)];
  const other = plane("c", 2, 5, { sha256: "def" });
  const images = [first, second, other];
  assert.equal(planeAt(images, first, second.place), second);
  assert.equal(planeAt(images, first, other.place), undefined);
  assert.equal(planeAt(images, first, { scene: 0, time: 3, z: 5 }), undefined);
  assert.ok(!areOfOneFile(plane("a", 0, 5, { sha256: null }), plane("b", 0, 5, { sha256: null })));
});
