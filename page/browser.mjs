// Build what segments in the browser: the workers, and ONNX Runtime, whose WebAssembly lies packed in the package.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const RUNTIME = new URL("node_modules/onnxruntime-web/dist/", import.meta.url).pathname;

/** Folder of the runtime in what is built; packing it takes long, so it is kept from build to build. */
export const RUNTIME_FOLDER = "ort";

/** The plain build of the runtime, and the one that WebGPU needs. */
const BUILDS = ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.asyncify"];

const PACK = "import lzma, sys; sys.stdout.buffer.write(lzma.compress(sys.stdin.buffer.read(), preset=9 | lzma.PRESET_EXTREME))";

/** Build into a folder; what is packed there already, of the same bytes, stays. */
export async function buildBrowser(target) {
  await build({
    entryPoints: {
      worker: "src/browser/worker.ts",
      network: "src/browser/network_worker.ts",
      network_webgpu: "src/browser/webgpu.ts",
    },
    outdir: target,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    // The runtime without its loader inside: the loader lies beside it, and starts threads from there.
    conditions: ["onnxruntime-web-use-extern-wasm"],
  });
  const folder = `${target}${RUNTIME_FOLDER}/`;
  mkdirSync(folder, { recursive: true });
  const sums = existsSync(`${folder}sums.json`) ? JSON.parse(readFileSync(`${folder}sums.json`, "utf8")) : {};
  for (const name of BUILDS) {
    copyFileSync(`${RUNTIME}${name}.mjs`, `${folder}${name}.mjs`);
    const wasm = readFileSync(`${RUNTIME}${name}.wasm`);
    const sum = createHash("sha256").update(wasm).digest("hex");
    const packed = `${folder}${name}.wasm.xz`;
    if (sums[name] === sum && existsSync(packed)) continue;
    writeFileSync(packed, execFileSync(process.env.PYTHON ?? "python3", ["-c", PACK], { input: wasm, maxBuffer: 2 ** 27 }));
    sums[name] = sum;
  }
  writeFileSync(`${folder}sums.json`, `${JSON.stringify(sums, null, 1)}\n`);
}
