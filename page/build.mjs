// Build the page into the package: `npm run build`, or `make web` one folder above; `node build.mjs FOLDER` builds elsewhere.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { buildBrowser, RUNTIME_FOLDER } from "./browser.mjs";

const given = process.argv[2];
const target = given ? `${resolve(given)}/` : new URL("../src/dinocell/web/page/", import.meta.url).pathname;

/** Return the packages that are inside of what was built, and those that it runs with. */
function packagesOf(metafile) {
  const names = new Set(["onnxruntime-web", "onnxruntime-common"]);
  for (const path of Object.keys(metafile.inputs)) {
    const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
    if (name) names.add(name);
  }
  return [...names].sort();
}

/** Return the licence of a package: its own text, or ours of a package that has none in its folder. */
function licenceOf(name) {
  const folder = `node_modules/${name}/`;
  const { version, license } = JSON.parse(readFileSync(`${folder}package.json`, "utf8"));
  const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  const text = readFileSync(file ? folder + file : `licences/${name.split("-")[0]}.txt`, "utf8").trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
}

mkdirSync(target, { recursive: true });
// Only the folder of the package is emptied: in another one may be files of others.
for (const name of given ? [] : readdirSync(target)) {
  if (name !== RUNTIME_FOLDER) rmSync(target + name);
}

const { metafile } = await build({
  entryPoints: {
    page: "src/main.ts",
    style: "src/style.css",
  },
  outdir: target,
  chunkNames: "[name]-[hash]",
  bundle: true,
  splitting: true,
  minify: true,
  metafile: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
});
await buildBrowser(target);
for (const name of ["index.html", "icon.svg"]) copyFileSync(`src/${name}`, target + name);
const rule = `\n${"-".repeat(80)}\n\n`;
const head = "The page contains parts of these packages, each under its own licence.\n";
writeFileSync(`${target}THIRD_PARTY.txt`, [head, ...packagesOf(metafile).map(licenceOf)].join(rule));
