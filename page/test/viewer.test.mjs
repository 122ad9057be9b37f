import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "./sources.mjs";

const { colourOfId, coloursByValue, colourOfShare, endsOf, UNKNOWN } = await source("viewer/colours");
const { levelFor, parentOf, tilesIn, touches, windowOf } = await source("viewer/pyramid");
const { paintLabels } = await source("viewer/label_painting");
const { TileStore } = await source("viewer/tile_store");
const { defaultSettings, viewOf } = await source("viewer/channels");

const distance = (one, other) =>
  Math.hypot(...[16, 8, 0].map((shift) => ((one >> shift) & 255) - ((other >> shift) & 255)));

test("cells whose ids are near each other have colours that are far apart", () => {
  const near = [];
  for (let id = 1; id < 400; id++)
    for (let step = 1; step <= 12; step++) near.push(distance(colourOfId(id), colourOfId(id + step)));
  assert.ok(Math.min(...near) > 25, `the nearest two are ${Math.min(...near)} apart`);
  assert.equal(colourOfId(7), colourOfId(7));
});

test("colours by a measurement go from dark to bright, without the outermost, and are gray without a value", () => {
  const values = Array.from({ length: 101 }, (_, at) => at);
  assert.deepEqual(endsOf("area", values), [2, 98]);
  assert.deepEqual(endsOf("confidence", values), [0, 1]);
  const colours = coloursByValue([4, 5, 6], [0, null, 10], [0, 10]);
  assert.deepEqual([colours.get(4), colours.get(5), colours.get(6)], [colourOfShare(0), UNKNOWN, colourOfShare(1)]);
});

test("a window of a large image is shown by the tiles in it, the middle first", () => {
  const pyramid = { width: 32768, height: 20000, levels: 8 };
  assert.deepEqual(tilesIn(pyramid, 0, { top: 0, left: 0, bottom: 20000, right: 32768 }), [{ z: 0, x: 0, y: 0 }]);
  const tiles = tilesIn(pyramid, 7, { top: 250, left: 250, bottom: 1100, right: 600 });
  assert.deepEqual([...new Set(tiles.map(({ x }) => x))].sort(), [0, 1, 2]);
  assert.equal(tiles.length, 15);
  assert.deepEqual(tiles[0], { z: 7, x: 1, y: 2 });
  assert.deepEqual(tilesIn(pyramid, 7, { top: -900, left: -900, bottom: -10, right: -10 }), []);
  assert.deepEqual(windowOf(pyramid, { z: 7, x: 127, y: 78 }), {
    top: 19968,
    left: 32512,
    bottom: 20000,
    right: 32768,
  });
  assert.deepEqual(parentOf({ z: 7, x: 127, y: 78 }, 3), { z: 4, x: 15, y: 9 });
});

test("the level has about as many pixels as the screen", () => {
  const pyramid = { width: 32768, height: 32768, levels: 8 };
  assert.deepEqual(
    [0.1, 1, 2, 8, 1000].map((resolution) => levelFor(pyramid, resolution)),
    [7, 7, 6, 4, 0],
  );
});

test("an edit touches the tiles that show its box, and those whose rims it changes", () => {
  const pyramid = { width: 1024, height: 1024, levels: 3 };
  const touched = tilesIn(pyramid, 2, { top: 0, left: 0, bottom: 1024, right: 1024 }).filter((tile) =>
    touches(pyramid, tile, [300, 256, 310, 300]),
  );
  assert.deepEqual(touched.map(({ x, y }) => [x, y]).sort(), [
    [0, 1],
    [1, 1],
  ]);
  assert.ok(touches(pyramid, { z: 0, x: 0, y: 0 }, [300, 256, 310, 300]));
});

const alpha = (pixels) => [...pixels].filter((_, at) => at % 4 === 3);
const tile = (ids, width) => ({ ids: Uint32Array.from(ids), width, height: ids.length / width });
const ALONE = { left: null, right: null, above: null, below: null };

test("outlines lie on pixels that have another id beside them, also across the border of a tile", () => {
  const all = tile([1, 1, 1, 1, 1, 1, 1, 1, 1], 3);
  const style = { shape: "outline", colours: null, kept: null };
  assert.deepEqual(alpha(paintLabels(all, ALONE, style)), [0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const right = tile([2, 2, 0, 0, 1, 1], 2);
  assert.deepEqual(alpha(paintLabels(all, { ...ALONE, right }, style)), [0, 0, 255, 0, 0, 255, 0, 0, 0]);
  const above = tile([1, 1, 1, 1, 3, 1], 3);
  assert.deepEqual(alpha(paintLabels(all, { ...ALONE, above }, style)), [0, 255, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(alpha(paintLabels(tile([1, 1, 2, 0], 4), ALONE, style)), [0, 255, 255, 0]);
});

test("areas are faint inside, and fainter where a filter leaves a cell out", () => {
  const strip = tile([1, 1, 1, 2, 2, 2], 6);
  const filled = alpha(
    paintLabels(strip, ALONE, { shape: "fill", colours: new Map([[1, 0x112233]]), kept: new Set([1]) }),
  );
  assert.ok(filled[0] > 0 && filled[0] < filled[2]);
  assert.ok(filled[3] < filled[2] && filled[5] < filled[0]);
});

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("tiles that are not wanted any more are aborted, and those out of date are shown until the new ones come", async () => {
  const requests = [];
  const load = (index, signal) =>
    new Promise((resolve, reject) => {
      requests.push({ index, signal, resolve });
      signal.addEventListener("abort", () => reject(new Error("aborted")));
    });
  const store = new TileStore({ load, onTile: () => undefined, limit: 10 });
  const [one, other] = [
    { z: 1, x: 0, y: 0 },
    { z: 1, x: 1, y: 0 },
  ];
  store.want([one, other]);
  store.want([other]);
  await settled();
  assert.deepEqual(
    requests.map(({ signal }) => signal.aborted),
    [true, false],
  );
  requests[1].resolve("old");
  await settled();
  store.spoil(({ x }) => x === 1);
  assert.deepEqual([store.get(other), store.getFresh(other)], ["old", null]);
  requests[2].resolve("new");
  await settled();
  assert.deepEqual([store.get(other), store.getFresh(other), requests.length], ["new", "new", 3]);
});

test("no more tiles are kept than the limit, those that were used last", async () => {
  const dropped = [];
  const store = new TileStore({
    load: async ({ x }) => x,
    onTile: () => undefined,
    onDrop: (x) => dropped.push(x),
    limit: 3,
  });
  for (let x = 0; x < 5; x++) {
    store.want([{ z: 0, x, y: 0 }]);
    await settled();
    store.get({ z: 0, x: 0, y: 0 });
  }
  assert.deepEqual(dropped, [1, 2]);
});

test("colours are shown as they are, one channel in gray, several in colours", () => {
  const channel = (index) => ({ index, name: "", low: 10, high: 20, least: 0, most: 30 });
  const image = (count, rgb) => ({
    rgb,
    dtype: rgb ? "uint8" : "uint16",
    channels: Array.from({ length: count }, (_, index) => channel(index)),
  });
  assert.deepEqual(viewOf(defaultSettings(image(1, false))).channels, [
    { index: 0, low: 10, high: 20, colour: "#ffffff" },
  ]);
  assert.deepEqual(
    viewOf(defaultSettings(image(3, true))).channels.map(({ low, high, colour }) => [low, high, colour]),
    [
      [0, 255, "#ff0000"],
      [0, 255, "#00ff00"],
      [0, 255, "#0000ff"],
    ],
  );
  assert.equal(viewOf(defaultSettings(image(9, false))).channels.length, 4);
});
