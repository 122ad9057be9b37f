// Build the page into the package: `npm run build`, or `make web` one folder above.
import { build } from "esbuild";
import { copyFileSync, mkdirSync } from "node:fs";
import { buildBrowser } from "./browser.mjs";

const target = new URL("../src/dinocell/web/page/", import.meta.url).pathname;
mkdirSync(target, { recursive: true });

await build({
  entryPoints: { page: "src/main.ts", style: "src/style.css" },
  outdir: target,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
});
await buildBrowser(target);
copyFileSync("src/index.html", `${target}index.html`);
