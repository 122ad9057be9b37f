// Walks through the page of a real server in Chromium: $ADDRESS is the server's, $SAMPLES a folder of images, $EXPECTED
// what Python finds in each (JSON: file name to `count`, and `surest` with the threshold below), $STACK a file of several
// times and slices, $PLANE_COUNT what Python finds in its time 1, slice 4; pictures go to $SHOTS.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { browse, drag, placeOn } from "./browsing.mjs";
import { innermost, halvesOf, readLabels } from "./label_points.mjs";

const { ADDRESS, SAMPLES, EXPECTED, STACK, PLANE_COUNT } = process.env;
const expected = new Map(Object.entries(JSON.parse(EXPECTED)));
const CORRECTED = "fluorescence_1_img.png";
const SUREST = "0.8";
const LONG = { timeout: 120_000 };

let walk, page, labels;

before(async () => {
  walk = await browse(ADDRESS);
  page = walk.page;
});

after(() => walk.close());

const api = async (path) => (await fetch(`${ADDRESS}api/v1${path}`)).json();
const press = (name) => page.getByRole("button", { name, exact: true }).click();
const row = (name) => page.locator(".image").filter({ has: page.getByText(name, { exact: true }) });
const counted = (text) => Number(/^[\d,]+/.exec(text)[0].replaceAll(",", ""));
const shownCount = async () => counted(await page.locator(".found").first().textContent());
const point = async (place) => placeOn(page, labels, place);

/** Return the newest result of an image, as the server has it. */
async function resultOf(name) {
  const { images } = await api("/images");
  const { id } = images.find((image) => image.name === name);
  return (await api(`/results?image=${id}`)).results[0];
}

/** Wait for words on an edit; page and server then have as many cells, and the labels are the server's. */
async function edited(words, count) {
  await walk.said(words);
  await walk.said(`^${count} `, ".found");
  const result = await resultOf(CORRECTED);
  labels = await readLabels(page, result);
  assert.equal(result.count, count);
  assert.equal(labels.cells.size, count);
}

/** Point at places in turn, and press a key at each. */
async function pressAt(key, ...places) {
  for (const place of places) {
    await page.mouse.move(...(await point(place)));
    await page.keyboard.press(key);
    if (place !== places.at(-1)) await walk.said(": point");
  }
}

/** Choose a mode by its button, and click places in turn. */
async function clickAt(mode, ...places) {
  await press(mode);
  for (const place of places) {
    await page.mouse.click(...(await point(place)));
    if (place !== places.at(-1)) await walk.said(": point");
  }
}

const UNDO = {
  key: () => page.keyboard.press("Control+z"),
  button: () => press("Undo"),
};

/** Undo the last edit; the labels are again those of before. */
async function undone(before, way) {
  await UNDO[way]();
  await edited("^Undone", before.cells.size);
  assert.deepEqual(labels.ids, before.ids);
  await page.keyboard.press("Escape");
}

/** Cells from the largest to the smallest. */
const bySize = () => [...labels.cells.keys()].sort((one, other) => labels.cells.get(other) - labels.cells.get(one));

test("images are sent, and all are segmented as Python does", async () => {
  const files = [...expected.keys()].map((name) => join(SAMPLES, name));
  await page.setInputFiles("input[type=file]", files);
  for (const name of files.map((path) => basename(path))) await row(name).waitFor();
  await press("Segment all");
  for (const [name, { count }] of expected) {
    const status = row(name).locator(".status").filter({ hasText: /^[\d,]+ (cell|nucle)/ });
    await status.waitFor(LONG);
    assert.equal(counted(await status.textContent()), count, name);
    assert.equal((await resultOf(name)).count, count, name);
  }
});

test("the picture is whole and the page can be used by all, light and dark", async () => {
  await row(CORRECTED).locator(".open").click();
  await walk.said(`^${expected.get(CORRECTED).count} `, ".found");
  for (const theme of ["dark", "light"]) {
    await page.getByLabel("Light or dark").selectOption(theme);
    for (const tab of ["Adjust", "Show", "Cells", "Download", "Adapt"]) {
      await page.getByRole("tab", { name: tab }).click();
      assert.deepEqual(await walk.violations(), [], `${tab}, ${theme}`);
      await walk.shot(`server_${tab.toLowerCase()}_${theme}`);
    }
  }
});

test("a slider finds what Python finds with its threshold, and the way back is there", async () => {
  const { count, surest } = expected.get(CORRECTED);
  await page.getByRole("tab", { name: "Adjust" }).click();
  const flooding = page.waitForResponse((response) => response.url().endsWith("/thresholds"));
  await page.getByLabel("cells_max", { exact: true }).fill(SUREST);
  assert.equal((await (await flooding).json()).count, surest);
  await walk.said(`^${surest} `, ".found");
  assert.notEqual(surest, count);
  await press("Back to the model's values");
  await walk.said(`^${count} `, ".found");
  labels = await readLabels(page, await resultOf(CORRECTED));
  assert.equal(labels.cells.size, count);
});

test("a cell is deleted, and added where it was, by keys and by buttons", async () => {
  const before = labels;
  const count = before.cells.size;
  const [cell] = bySize();
  const place = innermost(before, cell);
  await pressAt("d", place);
  await edited(`Deleted cell ${cell}`, count - 1);
  await pressAt("a", place);
  await edited("Added cell", count);
  await page.keyboard.press("Control+z");
  await edited("^Undone", count - 1);
  await undone(before, "key");
  await clickAt("Delete", place);
  await edited(`Deleted cell ${cell}`, count - 1);
  await clickAt("Add", place);
  await edited("Added cell", count);
  await press("Undo");
  await edited("^Undone", count - 1);
  await undone(before, "button");
});

for (const [name, act, way] of [
  ["key", (...places) => pressAt("s", ...places), "key"],
  ["button", (...places) => clickAt("Split", ...places), "button"],
]) {
  test(`a cell is split by its ${name}, and that is undone and redone`, async () => {
    const before = labels;
    const [cell] = bySize();
    await act(...halvesOf(before, cell));
    await edited(`Split cell ${cell}`, before.cells.size + 1);
    const split = labels;
    await undone(before, way);
    await (way === "key" ? page.keyboard.press("Control+Shift+z") : press("Redo"));
    await edited("^Redone", split.cells.size);
    assert.deepEqual(labels.ids, split.ids);
    await undone(before, way);
  });
}

for (const [name, act, way] of [
  ["key", (...places) => pressAt("m", ...places), "key"],
  ["button", (...places) => clickAt("Merge", ...places), "button"],
]) {
  test(`cells are merged by their ${name}`, async () => {
    const before = labels;
    const [one, other] = bySize();
    await act(innermost(before, one), innermost(before, other));
    await edited(`Merged cells ${one} and ${other}`, before.cells.size - 1);
    assert.equal(labels.cells.get(Math.min(one, other)), before.cells.get(one) + before.cells.get(other));
    await undone(before, way);
  });
}

for (const [name, begin, way] of [
  ["key", () => page.keyboard.press("e"), "key"],
  ["button", () => press("Paint"), "button"],
]) {
  test(`a new cell is painted on the background, begun by its ${name}`, async () => {
    const before = labels;
    const [y, x] = innermost(before, 0);
    const from = await point([y, x - 2]);
    await page.mouse.move(...from);
    await begin();
    await walk.said(name === "key" ? "Painting a new cell" : "^Draw: a stroke");
    await drag(page, from, await point([y, x + 2]));
    await edited("^Painted", before.cells.size + 1);
    const cell = labels.ids[y * labels.width + x];
    assert.ok(cell > 0 && !before.cells.has(cell));
    await undone(before, way);
  });
}

test("table and picture choose the same cell, and the least certain one comes first", async () => {
  await page.getByRole("tab", { name: "Cells" }).click();
  await walk.said(`^${labels.cells.size} cells$`, ".cells .found");
  const [cell, other] = bySize();
  await page.mouse.click(...(await point(innermost(labels, cell))));
  await page.locator(`#cell-${cell}[aria-selected=true]`).waitFor();
  await press("Least certain first");
  await page.locator("[aria-sort=ascending]").getByText("confidence").waitFor();
  const { columns } = await api(`/results/${(await resultOf(CORRECTED)).id}/cells`);
  const least = columns.id[columns.confidence.indexOf(Math.min(...columns.confidence))];
  const first = page.locator(".table-body [aria-rowindex='2']");
  await first.waitFor();
  assert.equal(await first.getAttribute("data-cell"), String(least));
  await first.click();
  await page.locator(`#cell-${least}[aria-selected=true]`).waitFor();
  await page.keyboard.press("n");
  await walk.said(`^Cell ${least}, confidence`);
  await page.mouse.click(...(await point(innermost(labels, other))));
  await page.locator(`#cell-${other}[aria-selected=true]`).waitFor();
});

test("a reload keeps image, result and corrections", async () => {
  const [cell] = bySize();
  await pressAt("d", innermost(labels, cell));
  await edited(`Deleted cell ${cell}`, labels.cells.size - 1);
  await page.reload();
  await walk.said(`^${labels.cells.size} `, ".found");
  await row(CORRECTED).locator("[aria-current=true]").waitFor();
  const before = labels;
  labels = await readLabels(page, await resultOf(CORRECTED));
  assert.deepEqual(labels.ids, before.ids);
  assert.ok(await page.getByRole("button", { name: "Undo" }).isEnabled());
});

test("every format is saved, and the table has a row a cell", async () => {
  const result = await resultOf(CORRECTED);
  await page.getByRole("tab", { name: "Download" }).click();
  for (const { name, suffix } of result.formats) {
    const saving = page.waitForEvent("download");
    await press(`Download ${name}`);
    const saved = await saving;
    const content = readFileSync(await saved.path());
    assert.ok(saved.suggestedFilename().endsWith(suffix), saved.suggestedFilename());
    assert.ok(content.length > 0, name);
    if (name === "tif") assert.match(content.subarray(0, 2).toString(), /^(II|MM)$/);
    if (name === "csv") assert.equal(content.toString().trim().split("\n").length, result.count + 1);
  }
});

test("another plane of a stack is shown and segmented, and the first one is still there", async () => {
  await page.setInputFiles("input[type=file]", [STACK]);
  const name = basename(STACK);
  const first = row(`${name} · time 0 · slice 2`);
  await first.locator(".open").click();
  await page.getByLabel("Slice", { exact: true }).fill("4");
  await row(`${name} · time 0 · slice 4`).locator("[aria-current=true]").waitFor();
  await page.getByLabel("Time", { exact: true }).fill("1");
  const plane = row(`${name} · time 1 · slice 4`);
  await plane.locator("[aria-current=true]").waitFor();
  assert.deepEqual(await walk.violations(), []);
  await press("Segment");
  const status = plane.locator(".status").filter({ hasText: /^[\d,]+ (cell|nucle)/ });
  await status.waitFor(LONG);
  assert.equal(counted(await status.textContent()), Number(PLANE_COUNT));
  await walk.shot("server_stack_light");
  const { images } = await api("/images");
  const planes = images.filter((image) => image.name === name);
  assert.deepEqual(
    planes.map(({ place }) => place),
    [
      { scene: 0, time: 1, z: 4 },
      { scene: 0, time: 0, z: 4 },
      { scene: 0, time: 0, z: 2 },
    ],
  );
  await page.getByLabel("Time", { exact: true }).fill("0");
  await row(`${name} · time 0 · slice 4`).locator("[aria-current=true]").waitFor();
  await page.getByLabel("Slice", { exact: true }).fill("2");
  await first.locator("[aria-current=true]").waitFor();
  assert.equal((await api("/images")).images.length, images.length);
});

test("nothing went wrong unseen, and no other host was asked", () => {
  assert.deepEqual(walk.complaints(), []);
});
