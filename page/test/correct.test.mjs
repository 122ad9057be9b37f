import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "./sources.mjs";

const { runsOf } = await source("correct/strokes");
const { Gestures } = await source("correct/gestures");
const { idsOf } = await source("server/label_png");
const { nameIn, wordsOf } = await source("server/requests");
const { viewQuery } = await source("server/view_query");
const { Store } = await source("state/store");

const pixels = (runs) =>
  new Set(runs.flatMap(([row, first, count]) => Array.from({ length: count }, (_, at) => `${row} ${first + at}`)));

/** Return the pixels within a distance of a line, one by one. */
function near(stroke, radius, width, height) {
  const found = new Set();
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const isNear = stroke.some(([y, x], at) => {
        const [v, u] = stroke[Math.max(at - 1, 0)];
        const long = (y - v) ** 2 + (x - u) ** 2;
        const share = long ? Math.min(Math.max(((row - v) * (y - v) + (column - u) * (x - u)) / long, 0), 1) : 0;
        return Math.hypot(row - v - share * (y - v), column - u - share * (x - u)) <= radius;
      });
      if (isNear) found.add(`${row} ${column}`);
    }
  }
  return found;
}

test("a stroke paints the pixels within half of the brush, and no pixel twice", () => {
  for (const stroke of [
    [[10.2, 9.7]],
    [
      [3.1, 4.2],
      [20.4, 30.7],
      [25.3, 8.1],
    ],
    [
      [8.3, 2.1],
      [8.3, 30.6],
    ],
    [
      [2.2, 12.4],
      [28.9, 12.4],
    ],
  ]) {
    for (const brush of [3, 8.5, 14]) {
      const runs = runsOf(stroke, brush, 40, 32);
      assert.deepEqual([...pixels(runs)].sort(), [...near(stroke, brush / 2, 40, 32)].sort());
      assert.equal(
        runs.reduce((sum, [, , count]) => sum + count, 0),
        pixels(runs).size,
      );
    }
  }
});

test("a stroke stays inside the image, and a brush of one paints the pixel below it", () => {
  for (const [row, first, count] of runsOf(
    [
      [-5, -5],
      [50, 50],
    ],
    9,
    20,
    20,
  )) {
    assert.ok(row >= 0 && row < 20 && first >= 0 && first + count <= 20 && count > 0);
  }
  assert.deepEqual(runsOf([[4.1, 6.2]], 1, 20, 20), [[4, 6, 1]]);
});

test("some keys act at once, others wait for a second point", () => {
  const gestures = new Gestures();
  assert.deepEqual(gestures.press("D", 7, [1, 2]).edit, { edit: "delete", ids: [7] });
  assert.deepEqual(gestures.press("A", 0, [1, 2]).edit, { edit: "add", points: [[1, 2]] });
  assert.equal(gestures.press("M", 7, [1, 2]).edit, null);
  assert.deepEqual(gestures.first, [1, 2]);
  assert.deepEqual(gestures.press("M", 9, [3, 4]).edit, { edit: "merge", ids: [7, 9] });
  assert.equal(gestures.press("S", 7, [1, 2]).edit, null);
  assert.deepEqual(gestures.press("S", 7, [3, 4]).edit, { edit: "split", points: [[[1, 2]], [[3, 4]]] });
  assert.equal(gestures.first, null);
});

test("another key forgets the first point, and background is refused in words", () => {
  const gestures = new Gestures();
  gestures.press("S", 7, [1, 2]);
  gestures.press("D", 8, [3, 4]);
  assert.equal(gestures.press("S", 7, [5, 6]).edit, null);
  assert.throws(() => gestures.press("M", 0, [0, 0]), /no cell under the pointer, expected one/);
  assert.equal(gestures.first, null);
});

test("ids are read from red, green and blue exactly", () => {
  assert.deepEqual(
    [...idsOf(Uint8ClampedArray.of(0, 0, 0, 255, 1, 2, 3, 255, 255, 255, 255, 255))],
    [0, 66051, 16777215],
  );
});

test("errors are the server's words, and names of files come from it", () => {
  assert.equal(wordsOf(409, '{"message": "result r: it has edits"}'), "result r: it has edits");
  assert.match(wordsOf(500, "<html>"), /answered 500/);
  assert.match(wordsOf(503, '{"message": "no"}'), /does not answer/);
  assert.equal(nameIn("attachment; filename=\"a.tif\"; filename*=UTF-8''%C3%A4.tif"), "ä.tif");
  assert.equal(nameIn('attachment; filename="a b.csv"'), "a b.csv");
  assert.equal(nameIn("attachment"), null);
});

test("tiles are asked for by channel, range and colour; colours as they are by nothing", () => {
  const channel = (index) => ({ index, name: "", low: 1, high: 9, least: 0, most: 10 });
  const image = { rgb: true, dtype: "uint8", channels: [0, 1, 2].map(channel) };
  const view = {
    channels: [0, 1, 2].map((index) => ({
      index,
      low: 0,
      high: 255,
      colour: ["#ff0000", "#00ff00", "#0000ff"][index],
    })),
  };
  assert.equal(viewQuery(image, view), "");
  assert.equal(
    viewQuery(image, { channels: [{ index: 2, low: 10, high: 4000, colour: "#ff8000" }] }),
    "?channel=2&range=10:4000&colour=ff8000",
  );
});

test("views are called for what they watch, once for a change of several parts", () => {
  const store = new Store({ a: 1, b: 1, c: 1 });
  const seen = [];
  const stop = store.watch(["a", "b"], ({ a, b }) => seen.push([a, b]));
  store.set({ c: 2 });
  store.set({ a: 2, b: 3 });
  store.set({ a: 2 });
  stop();
  store.set({ a: 9 });
  assert.deepEqual(seen, [
    [1, 1],
    [2, 3],
  ]);
});
