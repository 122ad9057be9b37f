// Sources of the page, compiled as they are asked for.
import { build } from "esbuild";

/** Return the module of a source below `src/`. */
export async function source(path) {
  const { outputFiles } = await build({
    entryPoints: [new URL(`../src/${path}.ts`, import.meta.url).pathname],
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString("base64")}`);
}
