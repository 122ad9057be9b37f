// A server in memory that answers as `dinocell serve` does, well enough to build and test the page: `node test/fake/server.mjs [PORT]`.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { boxOf, brightness, cellsAt, confidenceOf } from "./cells.mjs";
import { applyEdit, Labels } from "./labels.mjs";
import { png } from "./png.mjs";

const TILE = 256;
const CSP =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
  "connect-src 'self' blob:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".txt": "text/plain",
};
const PAGE = new URL("../../../src/dinocell/web/page/", import.meta.url).pathname;
const FORMATS = [
  { name: "tif", suffix: "_labels.tif", meaning: "Labels as an image" },
  { name: "csv", suffix: "_cells.csv", meaning: "Measurements, a row a cell" },
  { name: "geojson", suffix: "_cells.geojson", meaning: "Outlines for QuPath" },
];
const THRESHOLDS = { cells_max_threshold: 0.47, cell_fill_threshold: 0.09, merge: 0.5, regrow: false };

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Size and kind of an image are made up of its name: huge, fluorescence, stack, or gray. */
function imageOf(id, name, bytes) {
  const isHuge = name.includes("huge");
  const [width, height] = isHuge ? [32768, 32768] : [1100, 800];
  const names = name.includes("fluor") ? ["membrane", "nuclei"] : ["gray"];
  const channels = names.map((channel, index) => ({
    index,
    name: channel,
    low: 300,
    high: 3600,
    least: 120,
    most: 4095,
  }));
  const isStack = name.includes("stack");
  const levels = 1 + Math.max(0, Math.ceil(Math.log2(Math.max(width, height) / TILE)));
  return {
    id,
    name,
    bytes,
    width,
    height,
    dtype: "uint16",
    rgb: false,
    channels,
    pixel_size_um: name.includes("phase") ? null : [0.325, 0.325],
    levels,
    sha256: `hash of ${name}`,
    scenes: 1,
    times: isStack ? 5 : 1,
    slices: isStack ? 21 : 1,
    place: { scene: 0, time: 0, z: isStack ? 10 : 0 },
    created: new Date().toISOString(),
    notes: [],
  };
}

class World {
  constructor() {
    this.models = [
      { name: "nano", description: "Small and fast; for most images.", targets: ["cells", "nuclei"], own: false },
      {
        name: "base",
        description: "Larger and slower; a little better on crowded cells.",
        targets: ["cells"],
        own: false,
      },
    ];
    Object.assign(this, { images: [], jobs: [], results: [], streams: new Set(), event: 0, log: [] });
  }

  image(id) {
    return this.images.find((image) => image.id === id) ?? this.missing("image", id);
  }

  job(id) {
    return this.jobs.find((job) => job.id === id) ?? this.missing("job", id);
  }

  kept(id) {
    return this.results.find(({ result }) => result.id === id) ?? this.missing("result", id);
  }

  missing(kind, id) {
    throw new Refusal(404, `${kind} ${id}: there is none, expected one of the list; load the page again`);
  }

  tell(job) {
    for (const stream of this.streams)
      stream.write(`event: job\nid: ${++this.event}\ndata: ${JSON.stringify(job)}\n\n`);
  }

  addImage(name, bytes) {
    if (name.endsWith(".txt"))
      throw new Refusal(415, `${name}: the type is not known, expected an image such as TIFF or PNG; drop an image`);
    const image = imageOf(`i${this.images.length + 1}`, name, bytes);
    image.cellsAt = cellsAt(image.width, image.height);
    this.images.unshift(image);
    return image;
  }

  addPlane(first, place) {
    if (place.z >= first.slices)
      throw new Refusal(400, `${first.name}: it has no z ${place.z}, expected one from 0 to ${first.slices - 1}`);
    const image = this.addImage(first.name, first.bytes);
    image.place = place;
    return image;
  }

  startJob(request) {
    const job = {
      id: `j${this.jobs.length + 1}`,
      kind: request.kind,
      state: "queued",
      image: request.image ?? null,
      result: null,
      progress: { stage: "waiting", done: 0, total: 0 },
      problem: null,
      settings: request.settings ?? {},
      created: new Date().toISOString(),
      curve: [],
      learned: null,
    };
    this.jobs.unshift(job);
    this.advance(job, 0);
    return job;
  }

  advance(job, step) {
    const total = 20;
    setTimeout(() => {
      if (job.state === "cancelled") return;
      job.state = step < total ? "running" : "done";
      job.progress = { stage: job.kind === "fine-tune" ? "learning" : "finding cells", done: step, total };
      if (job.kind === "fine-tune" && step)
        job.curve.push({ step: step * 5, loss: 0.4 * Math.exp(-step / 6) + 0.02 * (step % 2) });
      if (step === total) this.finish(job);
      this.tell(job);
      if (step < total) this.advance(job, step + 1);
    }, 60);
  }

  finish(job) {
    if (job.kind === "fine-tune") {
      this.models.push({ name: job.settings.name, description: "", targets: ["cells"], own: true });
      job.learned = { model: job.settings.name, images: 1, before: 0.71, after: 0.83 };
      return;
    }
    const image = this.image(job.image);
    const isHuge = image.width > 5000;
    const labels = isHuge
      ? null
      : new Labels(image.width, image.height, (row, column) => image.cellsAt(row, column)[0]);
    const result = {
      id: `r${this.results.length + 1}`,
      image: image.id,
      job: job.id,
      model: job.settings.model ?? "nano",
      target: "cells",
      count: labels ? labels.cells().size : 550000,
      width: image.width,
      height: image.height,
      thresholds: { ...THRESHOLDS },
      own_thresholds: { ...THRESHOLDS },
      adjustable: !isHuge,
      editable: !isHuge,
      warnings: [],
      edits: 0,
      can_undo: false,
      can_redo: false,
      checked: [],
      all_checked: false,
      version: 1,
      formats: FORMATS,
    };
    this.results.unshift({ result, labels, image });
    job.result = result.id;
  }

  outcome(kept, { ids, box, notes }) {
    const { result, labels } = kept;
    Object.assign(result, {
      version: result.version + 1,
      edits: labels.done.length,
      can_undo: labels.done.length > 0,
      can_redo: labels.undone.length > 0,
      count: labels.cells().size,
    });
    result.checked = [...new Set([...result.checked, ...ids])];
    return { result, ids, notes, box };
  }

  outline({ labels, image }, cell) {
    if (labels) return labels.cells().has(cell) ? labels.outline(cell) : this.missing("cell", cell);
    const box = boxOf(cell, image.width);
    const [top, left, bottom, right] = box.map((edge) => edge - 0.5);
    return {
      id: cell,
      parts: [
        [
          [
            [top, left],
            [top, right],
            [bottom, right],
            [bottom, left],
            [top, left],
          ],
        ],
      ],
      box,
    };
  }

  table({ result, labels }) {
    if (!labels)
      return {
        columns: {
          id: Array.from({ length: 100000 }, (_, at) => at + 1),
          confidence: Array.from({ length: 100000 }, (_, at) => confidenceOf(at + 1)),
          area_px: Array.from({ length: 100000 }, (_, at) => 300 + ((at * 7919) % 1400)),
        },
      };
    const cells = [...labels.cells()];
    return {
      columns: {
        id: cells.map(([id]) => id),
        confidence: cells.map(([id]) => (id > 5000 ? null : confidenceOf(id))),
        area_px: cells.map(([, { area }]) => area),
        centroid_row: cells.map(([, { rows, area }]) => rows / area),
        centroid_column: cells.map(([, { columns, area }]) => columns / area),
        equivalent_diameter_px: cells.map(([, { area }]) => 2 * Math.sqrt(area / Math.PI)),
        touches_border: cells.map(
          ([, { box }]) => box[0] === 0 || box[1] === 0 || box[2] === result.height || box[3] === result.width,
        ),
      },
    };
  }
}

/** Return a tile, of which `pixelAt` gives the pixels of the image. */
function tilePng({ width, height, levels }, [z, x, y], pixelAt) {
  const scale = 2 ** (levels - 1 - z);
  const across = Math.min(TILE, Math.ceil(width / scale) - x * TILE);
  const down = Math.min(TILE, Math.ceil(height / scale) - y * TILE);
  if (across <= 0 || down <= 0)
    throw new Refusal(404, `tile ${z}/${x}/${y}: it is outside of the image, expected one inside; load the page again`);
  return png(across, down, (row, column) =>
    pixelAt(Math.min((y * TILE + row) * scale, height - 1), Math.min((x * TILE + column) * scale, width - 1)),
  );
}

function imageTile(image, place, query) {
  const list = (name, otherwise) => (query.get(name) ?? otherwise).split(",");
  const channels = list("channel", "0").map(Number);
  const ranges = list("range", channels.map(() => "300:3600").join(",")).map((range) => range.split(":").map(Number));
  const colours = list("colour", channels.map(() => "ffffff").join(",")).map((colour) => Number.parseInt(colour, 16));
  return tilePng(image, place, (row, column) => {
    const depth = image.cellsAt(row, column)[1];
    const sum = [0, 0, 0];
    channels.forEach((channel, at) => {
      const share = (brightness(depth, row, column, channel) * 4095 - ranges[at][0]) / (ranges[at][1] - ranges[at][0]);
      [16, 8, 0].forEach(
        (shift, part) => (sum[part] += Math.min(Math.max(share, 0), 1) * ((colours[at] >> shift) & 255)),
      );
    });
    return sum.reduce((pixel, part) => (pixel << 8) | Math.min(Math.round(part), 255), 0);
  });
}

const ROUTES = [
  ["GET", /^\/models$/, ({ models }) => ({ models })],
  ["GET", /^\/images$/, (world) => ({ images: world.images.map(plain) })],
  [
    "GET",
    /^\/images\/(\w+)\/tiles\/(\d+)\/(\d+)\/(\d+)\.png$/,
    (world, [id, ...place], _, query) => ({
      bytes: imageTile(world.image(id), place.map(Number), query),
      type: "image/png",
    }),
  ],
  [
    "POST",
    /^\/images\/(\w+)\/planes$/,
    (world, [id], place) => ({ ...plain(world.addPlane(world.image(id), place)), status: 201 }),
  ],
  [
    "DELETE",
    /^\/images\/(\w+)$/,
    (world, [id]) => {
      world.images = world.images.filter((image) => image.id !== id);
      world.results = world.results.filter(({ image }) => image.id !== id);
      return { status: 204 };
    },
  ],
  ["GET", /^\/jobs$/, (world) => ({ jobs: world.jobs })],
  ["POST", /^\/jobs$/, (world, _, body) => world.startJob(body)],
  [
    "DELETE",
    /^\/jobs\/(\w+)$/,
    (world, [id]) => {
      const job = world.job(id);
      job.state = "cancelled";
      world.tell(job);
      return job;
    },
  ],
  [
    "POST",
    /^\/jobs\/(\w+)\/continue$/,
    (world, [id]) => {
      const job = world.job(id);
      job.state = "queued";
      world.advance(job, job.progress.done);
      return job;
    },
  ],
  ["GET", /^\/results$/, (world) => ({ results: world.results.map(({ result }) => result) })],
  [
    "GET",
    /^\/results\/(\w+)\/labels\/(\d+)\/(\d+)\/(\d+)\.png$/,
    (world, [id, ...place]) => {
      const { image, labels } = world.kept(id);
      const idAt = labels ? (row, column) => labels.at(row, column) : (row, column) => image.cellsAt(row, column)[0];
      return { bytes: tilePng(image, place.map(Number), idAt), type: "image/png" };
    },
  ],
  ["GET", /^\/results\/(\w+)\/cells$/, (world, [id]) => world.table(world.kept(id))],
  ["GET", /^\/results\/(\w+)\/cells\/(\d+)$/, (world, [id, cell]) => world.outline(world.kept(id), Number(cell))],
  [
    "POST",
    /^\/results\/(\w+)\/thresholds$/,
    (world, [id], { discard, ...thresholds }) => {
      const kept = world.kept(id);
      if (kept.result.edits && !discard)
        throw new Refusal(409, `result ${id}: it has edits, expected none; discard them first`);
      Object.assign(kept.result.thresholds, thresholds);
      const { cells_max_threshold: least } = kept.result.thresholds;
      kept.labels = new Labels(kept.image.width, kept.image.height, (row, column) => {
        const [cell] = kept.image.cellsAt(row, column);
        return cell && confidenceOf(cell) >= least - 0.12 ? cell : 0;
      });
      Object.assign(kept.result, { checked: [], all_checked: false });
      return world.outcome(kept, { ids: [], box: null, notes: [] }).result;
    },
  ],
  [
    "POST",
    /^\/results\/(\w+)\/edits$/,
    (world, [id], body) => world.outcome(world.kept(id), applyEdit(world.kept(id).labels, body)),
  ],
  [
    "POST",
    /^\/results\/(\w+)\/(undo|redo)$/,
    (world, [id, way]) => world.outcome(world.kept(id), { ids: [], box: world.kept(id).labels.step(way), notes: [] }),
  ],
  [
    "POST",
    /^\/results\/(\w+)\/checked$/,
    (world, [id], { cells, all }) => {
      const { result } = world.kept(id);
      result.checked = [...new Set([...result.checked, ...cells])];
      if (all !== undefined) result.all_checked = all;
      return result;
    },
  ],
  [
    "GET",
    /^\/results\/(\w+)\.(\w+)$/,
    (world, [id, format]) => {
      const { image } = world.kept(id);
      const { suffix } = FORMATS.find(({ name }) => name === format);
      return {
        bytes: Buffer.from(`${format} of ${image.name}\n`),
        type: "application/octet-stream",
        name: image.name.replace(/\.\w+$/, "") + suffix,
      };
    },
  ],
  ["GET", /^\/results\/(\w+)$/, (world, [id]) => world.kept(id).result],
];

const plain = ({ cellsAt: _, ...image }) => image;

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

async function answerApi(world, request, response, url) {
  const path = url.pathname.slice("/api/v1".length);
  if (path === "/jobs/events") {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(": ping\n\n");
    world.streams.add(response);
    request.on("close", () => world.streams.delete(response));
    return;
  }
  const body = await bodyOf(request);
  if (request.method !== "GET")
    world.log.push({
      method: request.method,
      path,
      body: path === "/images" ? null : JSON.parse(body.toString() || "null"),
    });
  if (request.method === "POST" && path === "/images") {
    const name = /filename="([^"]+)"/.exec(body.toString("latin1"))[1];
    return send(response, 201, JSON.stringify(plain(world.addImage(name, body.length))));
  }
  for (const [method, pattern, answer] of ROUTES) {
    const match = pattern.exec(path);
    if (method !== request.method || !match) continue;
    const made = answer(
      world,
      match.slice(1),
      JSON.parse(request.method === "POST" ? body.toString() || "null" : "null"),
      url.searchParams,
    );
    if (made.type)
      return send(response, 200, made.bytes, {
        "Content-Type": made.type,
        ...(made.name ? { "Content-Disposition": `attachment; filename="${made.name}"` } : {}),
      });
    return send(response, made.status ?? 200, made.status === 204 ? "" : JSON.stringify(made));
  }
  throw new Refusal(404, `${path}: there is no such address, expected one of /api/v1; look at openapi.json`);
}

function send(response, status, body, headers = { "Content-Type": "application/json" }) {
  response.writeHead(status, { ...headers, "Content-Security-Policy": CSP });
  response.end(body);
}

function answerFile(response, path) {
  const name = path === "/" ? "index.html" : path.slice(1);
  try {
    send(response, 200, readFileSync(join(PAGE, name)), {
      "Content-Type": TYPES[extname(name)] ?? "application/octet-stream",
    });
  } catch {
    send(response, 404, "");
  }
}

/** Start the server; returns it with its address, and what it holds. */
export async function startFakeServer(port = 0, world = new World()) {
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    if (!url.pathname.startsWith("/api/")) return answerFile(response, url.pathname);
    answerApi(world, request, response, url).catch((error) =>
      send(response, error.status ?? 500, JSON.stringify({ message: error.message })),
    );
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const stop = () => {
    for (const stream of world.streams) stream.end();
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { world, stop, port: server.address().port, address: `http://127.0.0.1:${server.address().port}/` };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { address } = await startFakeServer(Number(process.argv[2] ?? 8799));
  process.stdout.write(`${address}\n`);
}
