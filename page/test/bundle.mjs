// Bundle TypeScript for the tests in node, and read what they compare with.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
export const root = join(here, "..", "..");

/** Bundle a file of this folder, and import it. */
export async function load(name) {
  const folder = mkdtempSync(join(tmpdir(), "dinocell-page-"));
  try {
    const outfile = join(folder, "bundle.mjs");
    await build({ entryPoints: [join(here, name)], outfile, bundle: true, format: "esm", platform: "node" });
    return await import(pathToFileURL(outfile).href);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function golden(name) {
  return JSON.parse(readFileSync(join(here, "golden", name), "utf8"));
}

export function bytes(...path) {
  return new Uint8Array(readFileSync(join(...path)));
}

/** First digits of the SHA-256 of texts and arrays. */
export function digest(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) {
    hash.update(typeof part === "string" ? part : new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  }
  return hash.digest("hex").slice(0, 16);
}

/** Hash of a label image, as `dinocell.editing.journal.hash_labels` computes it. */
export function digestLabels(labels) {
  return digest(`(${labels.height}, ${labels.width})`, labels.data);
}

/** Read a distance map that is stored in 65,535ths. */
export async function readMap(parts, name) {
  const stored = await parts.readPng(bytes(here, "golden", `${name}_map.png`), name, () => undefined);
  const data = Float32Array.from(stored.data, (value) => Math.fround(value / 65535));
  return { height: stored.height, width: stored.width, data };
}

export function readSample(parts, name) {
  return parts.readPng(bytes(root, "samples", `${name}_img.png`), name, () => undefined);
}
