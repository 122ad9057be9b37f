// Takes the pictures of docs/web.md: node test/pictures.mjs ADDRESS FOLDER SAMPLE …, for benchmarks/web_pictures.py.
import { basename, join } from "node:path";
import { browse, NARROW, placeOn, WIDE } from "./browsing.mjs";
import { halvesOf, innermost, readLabels } from "./label_points.mjs";

const [address, folder, ...samples] = process.argv.slice(2);
const LONG = { timeout: 120_000 };
const MOST_TRIES = 40;

const { page, complaints, said, close } = await browse(address, { reducedMotion: "reduce" });
const press = (name) => page.getByRole("button", { name, exact: true }).click();
const tab = (name) => page.getByRole("tab", { name }).click();
const row = (name) => page.locator(".image").filter({ has: page.getByText(name, { exact: true }) });

/** Save what the page shows, without the frame of the focus, once it shows the same twice. */
async function take(name) {
  await page.evaluate(() => document.activeElement.blur());
  let before = Buffer.alloc(0);
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const now = await page.screenshot({ path: join(folder, `${name}.png`) });
    if (now.equals(before)) return;
    before = now;
    await page.evaluate(() => new Promise((resolve) => requestIdleCallback(resolve)));
  }
  throw new Error(`${name}: the page goes on changing`);
}

async function show(name) {
  await row(name).locator(".open").click();
  await row(name).locator("[aria-current=true]").waitFor();
  await said("^\\d+ (cell|nucle)", ".found");
  await tab("Cells");
  await said("^\\d+ cells$", ".cells .found");
}

async function labelsShown(name) {
  const { images } = await (await fetch(`${address}api/v1/images`)).json();
  const { id } = images.find((image) => image.name === name);
  const { results } = await (await fetch(`${address}api/v1/results?image=${id}`)).json();
  return readLabels(page, results[0]);
}

/** The table beside the picture, a large cell chosen in both. */
async function table(name) {
  await show(name);
  await tab("Show");
  await page.getByLabel("Outlines").check();
  await tab("Cells");
  await press("area");
  await press("area");
  const outlined = page.waitForResponse((response) => /cells\/\d+$/.test(response.url()));
  await page.locator(".table-body [aria-rowindex='4']").click();
  await (await outlined).finished();
  await page.keyboard.press("0");
  await page.locator("header h1").hover();
  await take("web_page");
}

/** Some cells are checked, one is deleted, one is split, another is being painted. */
async function correct(name) {
  await show(name);
  await tab("Show");
  await page.getByLabel("Areas").check();
  await tab("Adjust");
  for (const _ of [1, 2, 3, 4, 5, 6]) {
    const before = await page.locator(".notice").textContent();
    await page.keyboard.press("n");
    await page.waitForFunction((words) => document.querySelector(".notice").textContent !== words, before);
  }
  const labels = await labelsShown(name);
  const bySize = [...labels.cells.keys()].sort((one, other) => labels.cells.get(other) - labels.cells.get(one));
  for (const point of halvesOf(labels, bySize[0])) {
    await page.mouse.move(...(await placeOn(page, labels, point)));
    await page.keyboard.press("s");
    await said("^Split cell");
  }
  await said("^Split cell \\d+$");
  const [y, x] = innermost(labels, bySize[3]);
  await page.mouse.move(...(await placeOn(page, labels, [y, x])));
  await page.keyboard.press("e");
  await said("^Painting cell");
  await page.mouse.down();
  for (const step of [3, 6, 9, 12]) await page.mouse.move(...(await placeOn(page, labels, [y + step, x + step / 2])));
  await take("web_correct");
  await page.mouse.up();
  await said("^Painted");
  await page.keyboard.press("Escape");
}

async function narrow(name) {
  await show(name);
  await page.getByLabel("Light or dark").selectOption("dark");
  await page.setViewportSize(NARROW);
  await tab("Adjust");
  await take("web_dark_narrow");
}

await page.setViewportSize(WIDE);
await page.getByLabel("Light or dark").selectOption("light");
await page.setInputFiles("input[type=file]", samples);
for (const path of samples) await row(basename(path)).waitFor();
await press("Segment all");
for (const path of samples) {
  await row(basename(path)).locator(".status").filter({ hasText: /^\d+ (cell|nucle)/ }).waitFor(LONG);
}
await table("phase_2_img.png");
await correct("fluorescence_1_img.png");
await narrow("histology_1_img.png");
await close();
if (complaints().length) throw new Error(complaints().join("\n"));
