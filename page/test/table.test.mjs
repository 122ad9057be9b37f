import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "./sources.mjs";

const { passes, problemOf } = await source("table/filter");
const { orderRows, columnsOf } = await source("table/order");
const { histogramOf } = await source("table/histogram");
const numbers = await source("table/numbers");

const TABLE = {
  columns: {
    area: [300, 100, null, 200, 100],
    id: [1, 2, 3, 5, 8],
    class: ["b", "a", "c", "a", null],
    confidence: [0.9, 0.2, null, 0.5, 0.2],
  },
};

const ids = (rows) => [...rows].map((row) => TABLE.columns.id[row]);

test("a filter compares numbers, and nothing passes that is missing", () => {
  assert.deepEqual(
    ids(orderRows(TABLE, { column: "area", operator: ">", value: "100" }, { column: "id", isDescending: false })),
    [1, 5],
  );
  assert.deepEqual(
    ids(orderRows(TABLE, { column: "area", operator: "≤", value: "200" }, { column: "id", isDescending: false })),
    [2, 5, 8],
  );
  assert.equal(passes(null, { operator: "≠", value: "3" }), false);
  assert.equal(passes(5, { operator: "<", value: "1e1" }), true);
});

test("a filter of words knows equal and different only", () => {
  assert.equal(passes("a", { operator: "=", value: " a " }), true);
  assert.equal(passes("a", { operator: "≠", value: "b" }), true);
  assert.equal(passes("a", { operator: "<", value: "b" }), false);
});

test("a filter without a number, or of a column that is not there, says so", () => {
  assert.match(problemOf({ column: "area", operator: ">", value: "big" }, TABLE), /not a number/);
  assert.match(problemOf({ column: "length", operator: ">", value: "1" }, TABLE), /no length/);
  assert.match(problemOf({ column: "area", operator: ">", value: " " }, TABLE), /empty/);
  assert.equal(problemOf({ column: "class", operator: "=", value: "a" }, TABLE), null);
});

test("rows that are equal keep their order, and missing values come last either way", () => {
  assert.deepEqual(ids(orderRows(TABLE, null, { column: "confidence", isDescending: false })), [2, 8, 5, 1, 3]);
  assert.deepEqual(ids(orderRows(TABLE, null, { column: "confidence", isDescending: true })), [1, 5, 2, 8, 3]);
  assert.deepEqual(ids(orderRows(TABLE, null, { column: "class", isDescending: false })), [2, 5, 1, 3, 8]);
  assert.deepEqual(columnsOf(TABLE), ["id", "confidence", "area", "class"]);
});

test("a histogram counts every number once, the highest in the last bin", () => {
  const { counts, low, high } = histogramOf([0, 1, 2, 3, 4, null, NaN, "x", 4], 4);
  assert.deepEqual([counts, low, high], [[1, 1, 1, 3], 0, 4]);
  assert.deepEqual(histogramOf([5, 5], 3).counts, [2, 0, 0]);
  assert.equal(histogramOf([null, "a"], 3), null);
});

test("numbers are written as people read them", () => {
  assert.deepEqual([0.123456, 1234.567, 12, 1e-5, null, true, NaN].map(numbers.textOf), [
    "0.1235",
    "1235",
    "12",
    "1.00e-5",
    "",
    "true",
    "",
  ]);
  assert.deepEqual([512, 1536, 25_200_000].map(numbers.bytesOf), ["512 bytes", "1.54 kB", "25.2 MB"]);
  assert.deepEqual([40, 400, 8000].map(numbers.durationOf), ["about 40 s left", "about 7 min left", "about 2 h left"]);
  assert.deepEqual(
    [1.2, 4.9, 50, 99, 0.03].map(numbers.roundLength).map((length) => Number(length.toPrecision(3))),
    [1, 2, 50, 50, 0.02],
  );
  assert.equal(numbers.counted(1, "cell") + numbers.counted(12345, "cell"), "1 cell12,345 cells");
});
