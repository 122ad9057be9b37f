// Segment images on an exported page in Chromium: node driving/segment.mjs SERVER SITE OUTPUT IMAGE …
//
// SERVER is the address of the folder SITE. Writes every format of every result to OUTPUT, and what was found as JSON
// to the standard output. The first image is corrected, flooded again, cancelled once, and its tiles are looked at.
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withPage } from "./chromium.mjs";

const [server, site, output, ...images] = process.argv.slice(2);

await build({
  entryPoints: [fileURLToPath(new URL("driver.ts", import.meta.url))],
  outfile: join(site, "driver.js"),
  bundle: true,
  format: "esm",
});
// The same page with the same policy, but for its script.
const index = readFileSync(join(site, "index.html"), "utf8");
writeFileSync(join(site, "driver.html"), index.replace("page.js", "driver.js").replace(/<link[^>]*>/, ""));

/** Add an image and segment it; runs in the page. */
async function segment({ name, base64 }) {
  const backend = await window.backend;
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const image = await backend.addImage(new File([bytes], name), () => undefined);
  const started = performance.now();
  const stages = [];
  const job = await backend.startJob({ kind: "segment", image: image.id });
  const ended = await new Promise((resolve) => {
    const stop = backend.onJob((changed) => {
      if (changed.id !== job.id) return;
      if (stages.at(-1) !== changed.progress.stage) stages.push(changed.progress.stage);
      if (["queued", "running"].includes(changed.state)) return;
      stop();
      resolve(changed);
    });
  });
  const seconds = (performance.now() - started) / 1000;
  if (ended.state !== "done") throw new Error(`${name}: ${ended.state}, ${ended.problem}`);
  const result = await backend.result(ended.result);
  const files = {};
  for (const { name: format } of result.formats) {
    const file = await backend.download(result, format);
    files[file.name] = await window.asBase64(file.blob);
  }
  const table = (await backend.cells(result.id)).columns;
  return { image, result, seconds, stages, files, columns: Object.keys(table), isolated: self.crossOriginIsolated };
}

/** Correct the first result, flood it again, and look at its tiles; runs in the page. */
async function correct() {
  const backend = await window.backend;
  const [result] = await backend.results();
  const [image] = await backend.images();
  const { id } = result;
  const channels = image.channels.map(({ index, low, high }) => ({ index, low, high, colour: "#ffffff" }));
  const tile = await backend.imageTile(image, { channels }, image.levels - 1, 0, 0);
  const labels = await backend.labelTile(result, image.levels - 1, 0, 0);
  const outline = await backend.outline(id, 1);
  const merged = await backend.edit(id, { edit: "merge", ids: [1, 2] });
  const refused = await backend.flood(id, { merge: 1 }).catch((error) => [error instanceof window.BackendError, error.message]);
  const journal = await backend.download(merged.result, "edits");
  const undone = await backend.undo(id);
  const redone = await backend.redo(id);
  await backend.undo(id);
  const checked = await backend.check(id, [3], true);
  const flooded = await backend.flood(id, { cells_max_threshold: 0.8 });
  const unreadable = await backend.addImage(new File(["text"], "notes.txt"), () => undefined).catch((error) => error.message);
  const unknown = await backend.startJob({ kind: "segment", image: image.id, settings: { size: 3 } }).catch((error) => error.message);
  const job = await backend.startJob({ kind: "segment", image: image.id });
  await backend.cancelJob(job.id);
  const cancelled = await new Promise((resolve) => {
    const look = async () => {
      const found = (await backend.jobs()).find((each) => each.id === job.id);
      if (["queued", "running"].includes(found.state)) setTimeout(look, 20);
      else resolve(found.state);
    };
    void look();
  });
  return {
    tile: [tile.width, tile.height],
    ids: new Set(labels.ids).size - 1,
    outline: { box: outline.box, corners: outline.parts[0][0].length },
    merged: { count: merged.result.count, ids: merged.ids, box: merged.box, edits: merged.result.edits },
    journal: await journal.blob.text(),
    refused,
    undone: { count: undone.result.count, redo: undone.result.can_redo },
    redone: redone.result.count,
    checked: [checked.checked, checked.all_checked],
    flooded: { count: flooded.count, thresholds: flooded.thresholds, edits: flooded.edits },
    unreadable,
    unknown,
    cancelled,
  };
}

const found = await withPage(server, "driver.html", async (page) => {
  await page.waitForFunction(() => window.backend !== undefined);
  const segmented = [];
  for (const image of images) {
    const base64 = readFileSync(image).toString("base64");
    const { files, ...rest } = await page.evaluate(segment, { name: basename(image), base64 });
    for (const [name, content] of Object.entries(files)) writeFileSync(join(output, name), Buffer.from(content, "base64"));
    segmented.push({ ...rest, files: Object.keys(files) });
  }
  return { segmented, corrected: await page.evaluate(correct) };
});
console.log(JSON.stringify(found));
