// Walks through the built page in Chromium, over the server in memory: `npm run test:browser`, pictures into $SHOTS where it is set.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { browse, drag, NARROW, placeOn, WIDE } from "./browsing.mjs";
import { startFakeServer } from "./fake/server.mjs";

let fake, walk, page;

before(async () => {
  fake = await startFakeServer();
  walk = await browse(fake.address);
  page = walk.page;
});

after(async () => {
  await walk.close();
  await fake.stop();
});

const shot = (name) => walk.shot(name);
const said = (words, selector) => walk.said(words, selector);
const violations = () => walk.violations();
const posted = (path) => fake.world.log.filter((entry) => entry.method === "POST" && entry.path.endsWith(path));
const lastEdit = () => posted("/edits").at(-1).body;
const result = () => fake.world.results[0].result;

/** Place on the screen of a cell of the shown result, while the whole image is in view. */
async function placeOf(cell, share = [0.5, 0.5]) {
  const { box } = fake.world.results[0].labels.outline(cell);
  const point = [box[0] + (box[2] - box[0]) * share[0], box[1] + (box[3] - box[1]) * share[1]];
  return placeOn(page, result(), point);
}

const file = (name) => ({ name, mimeType: "image/tiff", buffer: Buffer.alloc(4000) });

test("an empty page asks for images, and has no violations", async () => {
  await said("Drop images here", ".empty");
  assert.deepEqual(await violations(), []);
  await shot("empty_light");
});

test("many files are sent; one that is no image says why", async () => {
  walk.forgive(/^415 |status of 415/);
  await page.setInputFiles("input[type=file]", ["fluorescence.tif", "phase.png", "notes.txt"].map(file));
  await said("type is not known, expected an image", ".problem-box");
  await page.getByRole("button", { name: "Close notes.txt" }).click();
  await page.locator(".problem-box").getByRole("button", { name: "Close" }).click();
  assert.equal(await page.locator(".image").count(), 2);
});

test("an image is segmented with progress, and its cells are shown", async () => {
  await page.getByLabel("Size of cells (diameter)").selectOption("given");
  await page.getByLabel("diameter in pixels").fill("25");
  await page.getByLabel("diameter in pixels").press("Enter");
  await page.getByRole("button", { name: "Segment", exact: true }).click();
  await page.locator(".image progress:visible").waitFor();
  await said("\\d+ cells", ".found");
  assert.deepEqual(fake.world.jobs[0].settings, { model: "nano", target: "auto", diameter: 25, channel: 0 });
  await page.mouse.move(...(await placeOf(1)));
  await said("cell 1$", ".place");
  await page.waitForTimeout(400);
  await shot("segmented_light");
  assert.deepEqual(await violations(), []);
});

test("a slider floods again, and the model's values come back", async () => {
  const before = result().count;
  await page.getByLabel("cells_max", { exact: true }).fill("0.8");
  await page.waitForFunction((count) => !document.querySelector(".found").textContent.startsWith(`${count} `), before);
  assert.ok(result().count < before);
  assert.equal(posted("/thresholds").at(-1).body.cells_max_threshold, 0.8);
  await page.getByRole("button", { name: "Back to the model's values" }).click();
  await said(`^${before} cells`, ".found");
});

test("each key of napari acts under the pointer, and is undone", async () => {
  const cells = result().count;
  await page.mouse.move(...(await placeOf(1)));
  await page.keyboard.press("d");
  await said("Deleted cell 1");
  assert.deepEqual(lastEdit(), { edit: "delete", ids: [1] });
  await page.keyboard.press("a");
  await said("Added cell");
  await page.keyboard.press("Control+z");
  await said("Undone");
  await page.keyboard.press("Control+z");
  await page.waitForFunction((count) => document.querySelector(".found").textContent.startsWith(`${count} `), cells);
  await page.keyboard.press("Control+Shift+z");
  await said("Redone");
  await page.keyboard.press("Control+z");
  await said("Undone");
  await page.mouse.move(...(await placeOf(2)));
  await page.keyboard.press("m");
  await said("Merge cell 2: point");
  await page.mouse.move(...(await placeOf(3)));
  await page.keyboard.press("m");
  await said("Merged cells 2 and 3. They do not touch");
  await page.mouse.move(...(await placeOf(5, [0.3, 0.5])));
  await page.keyboard.press("s");
  await said("Split cell 5: point");
  await page.mouse.move(...(await placeOf(5, [0.7, 0.5])));
  await page.keyboard.press("s");
  await said("^Split cell 5$");
  assert.equal(lastEdit().points.length, 2);
});

test("painting shows while it is drawn, and is sent as runs at its end", async () => {
  const [x, y] = await placeOf(8);
  await page.mouse.move(x, y);
  await page.keyboard.press("e");
  await said("Painting cell 8");
  const edits = posted("/edits").length;
  await page.mouse.down();
  await page.mouse.move(x + 30, y + 10, { steps: 5 });
  await shot("painting_light");
  assert.equal(posted("/edits").length, edits);
  await page.mouse.up();
  await said("Painted");
  assert.equal(lastEdit().id, 8);
  assert.ok(lastEdit().mask.length > 5 && lastEdit().mask.every((run) => run.length === 3));
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("button", { name: "Move", exact: true }).getAttribute("aria-pressed"), "true");
});

test("buttons do what keys do: a box, an outline, a line, a click", async () => {
  await page.getByRole("button", { name: "Add" }).click();
  await page.getByRole("button", { name: "Box" }).click();
  await drag(page, await placeOf(9, [-0.3, -0.3]), await placeOf(9, [1.3, 1.3]));
  await said("Added cell");
  assert.equal(lastEdit().box.length, 2);
  await page.getByRole("button", { name: "Outline" }).click();
  await drag(page, await placeOf(10, [-0.3, -0.3]), await placeOf(10, [1.3, 1.3]));
  await page.waitForFunction(() => true);
  await page.getByRole("button", { name: "Split" }).click();
  await page.getByRole("button", { name: "Line" }).click();
  await drag(page, await placeOf(11, [-0.1, 0.5]), await placeOf(11, [1.1, 0.5]));
  await said("Split along the line");
  assert.ok(lastEdit().line.length >= 2);
  await page.getByRole("button", { name: "Delete" }).click();
  await page.mouse.click(...(await placeOf(12)));
  await said("Deleted cell 12");
  await page.keyboard.press("Escape");
});

test("with the keyboard alone, keys act at the cross; away from the picture they begin a mode", async () => {
  await page.locator("header h1").hover();
  const edits = posted("/edits").length;
  await page.getByRole("tab", { name: "Adjust" }).focus();
  await page.keyboard.press("d");
  await said("Click a cell to delete it");
  assert.equal(posted("/edits").length, edits);
  await page.keyboard.press("Escape");
  const [x, y] = await placeOf(210);
  const { x: left, y: top, width, height } = await page.locator("#picture").boundingBox();
  await page.mouse.move(left + width / 2, top + height / 2);
  await page.mouse.down();
  await page.mouse.move(2 * left + width - x, 2 * top + height - y, { steps: 40 });
  await page.waitForTimeout(200);
  await page.mouse.up();
  await page.locator("header h1").hover();
  await page.locator("#picture").focus();
  await page.keyboard.press("d");
  await said("Deleted cell 210");
  await page.keyboard.press("Control+z");
  await said("Undone");
});

test("N goes through the cells, the least certain first", async () => {
  await page.keyboard.press("n");
  await said("^Cell \\d+, confidence");
  const first = Number(/\d+/.exec(await page.locator(".notice").textContent())[0]);
  await page.keyboard.press("n");
  await page.waitForFunction(
    (cell) => !document.querySelector(".notice").textContent.startsWith(`Cell ${cell},`),
    first,
  );
  assert.ok(result().checked.includes(first));
  await page.getByLabel("All of it is right", { exact: true }).check();
  await said("^(\\d+) of \\1 checked$", ".checked .hint");
  await page.getByLabel("All of it is right", { exact: true }).uncheck();
});

test("thresholds ask before they forget corrections", async () => {
  await page.getByLabel("merge", { exact: true }).fill("0.2");
  await page.getByRole("button", { name: "Keep them" }).click();
  assert.equal(await page.getByLabel("merge", { exact: true }).inputValue(), "0.5");
  assert.ok(result().edits > 0);
});

test("the table is filtered, sorted and tied to the picture", async () => {
  await page.getByRole("tab", { name: "Cells" }).click();
  const cells = result().count;
  await page.getByLabel("Value to compare with").fill("1000");
  await page.getByRole("button", { name: "Filter", exact: true }).click();
  await said(`^\\d+ of ${cells} cells$`, ".cells .found");
  await page.getByRole("button", { name: "area_px" }).click();
  const areas = await page
    .locator(".table-body [role=row]")
    .evaluateAll((rows) => rows.map((row) => Number(row.children[2].textContent)));
  assert.ok(areas.length > 3 && areas.every((area, at) => area > 1000 && (at === 0 || area >= areas[at - 1])));
  assert.equal(await page.locator("[aria-sort=ascending]").textContent(), "area_px ↑");
  await page.locator(".table-body [role=row]").nth(2).click();
  await page.locator(".table-body [aria-selected=true]").waitFor();
  await page.waitForTimeout(400);
  await shot("cells_light");
  assert.deepEqual(await violations(), []);
  await page.locator(".table").focus();
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.locator(".table-body [role=row]").nth(3).getAttribute("aria-selected"), "true");
  await page.getByRole("button", { name: "area_px" }).focus();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("[aria-sort=ascending]").textContent(), "confidence ↑");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "confidence ↑");
  await page.getByRole("button", { name: "Clear the filter" }).click();
  await page.mouse.click(...(await placeOf(200)));
  await page.locator("#cell-200[aria-selected=true]").waitFor();
});

test("cells are shown as outlines, coloured by a measurement, or not at all", async () => {
  await page.getByRole("tab", { name: "Show" }).click();
  await page.getByLabel("Colour", { exact: true }).selectOption("confidence");
  await page.locator(".legend canvas").waitFor();
  await page.waitForTimeout(300);
  await shot("show_light");
  assert.deepEqual(await violations(), []);
  await page.getByLabel("Outlines").check();
  await page.getByLabel("Contrast of membrane, white").nth(1).fill("1500");
  await page.getByLabel("Contrast of membrane, white").nth(1).press("Enter");
  await page.getByLabel("nuclei", { exact: true }).uncheck();
  await page.keyboard.press("h");
  assert.ok(await page.getByLabel("Hidden").isChecked());
  await page.keyboard.press("h");
});

test("results are saved under the names that the server gives", async () => {
  await page.getByRole("tab", { name: "Download" }).click();
  const saving = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download csv" }).click();
  const saved = await saving;
  assert.equal(saved.suggestedFilename(), "fluorescence_cells.csv");
  assert.equal(readFileSync(await saved.path(), "utf8"), "csv of fluorescence.tif\n");
  assert.deepEqual(await violations(), []);
});

test("a model is adapted to corrections, and used", async () => {
  await page.getByRole("tab", { name: "Adapt" }).click();
  await page.locator(".corrected input").check();
  await page.getByLabel("Name of the new model").fill("my-cells");
  await page.getByRole("button", { name: "Adapt", exact: true }).click();
  await page.locator(".curve").waitFor();
  await said("AP@0.5 was 0.71 before, and is 0.83 now: better", "#panel-adapt .part + .part .found");
  await shot("adapt_light");
  assert.deepEqual(await violations(), []);
  await page.getByRole("button", { name: "Use this model" }).click();
  assert.equal(await page.locator(".images-side select").first().inputValue(), "my-cells");
});

test("a reload keeps what is shown", async () => {
  await page.reload();
  await said("\\d+ cells", ".found");
  await page.getByRole("tab", { name: "Show" }).click();
  assert.equal(await page.getByLabel("Colour", { exact: true }).inputValue(), "confidence");
  assert.equal(await page.getByLabel("nuclei", { exact: true }).isChecked(), false);
});

test("dark and narrow are readable, too", async () => {
  await page.getByLabel("Light or dark").selectOption("dark");
  for (const name of ["Adjust", "Show", "Cells", "Download", "Adapt"]) {
    await page.getByRole("tab", { name }).click();
    await page.waitForTimeout(250);
    await shot(`${name.toLowerCase()}_dark`);
    assert.deepEqual(await violations(), [], name);
  }
  await page.setViewportSize(NARROW);
  for (const theme of ["dark", "light"]) {
    await page.getByLabel("Light or dark").selectOption(theme);
    for (const name of ["Images", "Adjust", "Show", "Cells"]) {
      await page.getByRole("tab", { name }).click();
      await page.waitForTimeout(250);
      await shot(`narrow_${name.toLowerCase()}_${theme}`);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), NARROW.width);
      assert.deepEqual(await violations(), [], name);
    }
  }
  await page.setViewportSize(WIDE);
});

test("? opens the keys, Escape closes them", async () => {
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await shot("keys_light");
  assert.deepEqual(await violations(), []);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("dialog").count(), 0);
});

test("a large image loads the tiles in view only, and its table stays usable", async () => {
  await page.setInputFiles("input[type=file]", [file("huge.tif")]);
  await page.getByText("huge.tif", { exact: true }).click();
  const tiles = [];
  page.on("request", (request) => request.url().includes("/tiles/") && tiles.push(request.url()));
  await page.waitForTimeout(1500);
  assert.ok(tiles.length < 90, `${tiles.length} tiles`);
  await page.getByRole("button", { name: "Segment", exact: true }).click();
  await said("550,000 cells", ".found");
  assert.equal(fake.world.jobs[0].kind, "segment-large");
  await page.getByRole("tab", { name: "Cells" }).click();
  await said("100,000 cells", ".cells .found");
  assert.ok((await page.locator(".table-body [role=row]").count()) < 60);
  await page.locator(".table").focus();
  await page.keyboard.press("End");
  await page.locator("[aria-rowindex='100001'][aria-selected=true]").waitFor();
  assert.ok(await page.getByRole("button", { name: "Delete" }).isDisabled());
});

test("an image is removed once the user agrees", async () => {
  await page.getByRole("button", { name: "Remove huge.tif" }).click();
  await page.getByRole("button", { name: "Keep" }).click();
  assert.equal(await page.locator(".image").count(), 3);
  await page.getByRole("button", { name: "Remove huge.tif" }).click();
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll(".image").length === 2);
});

test("a stack is shown plane by plane; one that is there is not read again", async () => {
  assert.ok(await page.getByRole("group", { name: "Plane" }).isHidden());
  await page.setInputFiles("input[type=file]", [file("stack.tif")]);
  await page.getByText("stack.tif · time 0 · slice 10", { exact: true }).click();
  const [time, slice] = [page.getByLabel("Time", { exact: true }), page.getByLabel("Slice", { exact: true })];
  assert.equal(await slice.inputValue(), "10");
  assert.equal(await page.getByLabel("Scene", { exact: true }).count(), 0);
  await time.focus();
  // Steps that follow each other at once are one.
  await time.evaluate((field) => {
    for (const number of ["3", "2", "1"]) {
      field.value = number;
      field.dispatchEvent(new Event("input"));
    }
  });
  const row = page.locator(".image [aria-current]");
  await row.getByText("stack.tif · time 1 · slice 10").waitFor();
  await page.keyboard.press("ArrowUp");
  await row.getByText("stack.tif · time 2 · slice 10").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), "Time");
  await slice.fill("99");
  await row.getByText("stack.tif · time 2 · slice 20").waitFor();
  await page.waitForFunction(() => document.querySelector("[aria-label=Slice]").value === "20");
  await slice.fill("10");
  await row.getByText("stack.tif · time 2 · slice 10").waitFor();
  await time.fill("0");
  await time.blur();
  await row.getByText("stack.tif · time 0 · slice 10").waitFor();
  assert.deepEqual(
    posted("/planes").map(({ body }) => body),
    [
      { scene: 0, time: 1, z: 10 },
      { scene: 0, time: 2, z: 10 },
      { scene: 0, time: 2, z: 20 },
    ],
  );
  await shot("stack_light");
  assert.deepEqual(await violations(), []);
  await page.getByText("phase.png", { exact: true }).click();
  assert.ok(await page.getByRole("group", { name: "Plane" }).isHidden());
});

test("nothing was refused by the policy, and nothing went wrong unseen", () => {
  assert.deepEqual(walk.complaints(), []);
});

test("a lost server is said, and found again", async () => {
  const { world, port } = fake;
  await fake.stop();
  await page.locator(".banner").waitFor();
  fake = await startFakeServer(port, world);
  await page.locator(".banner").waitFor({ state: "hidden" });
  const before = fake.world.jobs.length;
  await page.getByRole("button", { name: "Segment", exact: true }).click();
  await said("phase\\.png: \\d+ cells");
  assert.equal(fake.world.jobs.length, before + 1);
});
