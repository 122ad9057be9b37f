/** Files that results are downloaded as. */
import type { CellTable, Point, Result } from "../backend";
import { sha256 } from "../editing/sha256";
import { cellPolygons, type Polygon } from "../measuring/outlines";
import { InputError } from "../numerics/errors";
import { maxId } from "../numerics/labels";
import type { Labels } from "../numerics/plane";
import { crc32, pack } from "./packing";

/** Everything that is written about a result; ids are 1…N without gaps. */
export interface Written {
  labels: Labels;
  /** A row a cell; the first column is `label`. */
  table: CellTable;
  pixelSize: [number, number] | null;
  /** How it was made, as JSON values. */
  provenance: Record<string, unknown>;
  /** Lines of the file of edits. */
  journal: string[];
}

type Writer = (written: Written) => Promise<BlobPart[]> | BlobPart[];

interface Format {
  suffix: string;
  type: string;
  meaning: string;
  write: Writer;
}

const FORMATS: Record<string, Format> = {
  tif: { suffix: "_labels.tif", type: "image/tiff", meaning: "label image as TIFF, with pixel size", write: writeTiff },
  csv: { suffix: "_cells.csv", type: "text/csv", meaning: "a row a cell", write: writeCsv },
  geojson: {
    suffix: "_cells.geojson",
    type: "application/geo+json",
    meaning: "objects with measurements for QuPath",
    write: writeGeojson,
  },
  png: { suffix: "_labels.png", type: "image/png", meaning: "label image, up to 65,535 cells", write: writePng },
  edits: {
    suffix: "_edits.jsonl",
    type: "application/jsonl",
    meaning: "corrections, which dinocell edit repeats",
    write: ({ journal }) => [`${journal.join("\n")}\n`],
  },
};

export const FORMAT_LIST: Result["formats"] = Object.entries(FORMATS).map(([name, { suffix, meaning }]) => {
  return { name, suffix, meaning };
});

/** Write a result in a format; `stem` begins the file's name. */
export async function writeFile(format: string, stem: string, written: Written): Promise<{ blob: Blob; name: string }> {
  const found = FORMATS[format];
  if (!found) throw new InputError(`format is ${format}, expected one of ${Object.keys(FORMATS).join(", ")}`);
  const blob = new Blob(await found.write(written), { type: found.type });
  return { blob, name: `${stem}${found.suffix}` };
}

/** Return the ids as uint16, or uint32 where one is beyond. */
function stored(labels: Labels): Uint16Array | Uint32Array {
  return maxId(labels) < 2 ** 16 ? new Uint16Array(labels.data) : new Uint32Array(labels.data);
}

/** Write an uncompressed TIFF of one strip, little-endian: header, tags, what does not fit into them, ids. */
function writeTiff({ labels, pixelSize }: Written): BlobPart[] {
  const ids = stored(labels);
  const [height, width] = pixelSize ?? [0, 0];
  const tags: [number, number, number][] = [
    [256, 4, labels.width],
    [257, 4, labels.height],
    [258, 3, 8 * ids.BYTES_PER_ELEMENT],
    [259, 3, 1],
    [262, 3, 1],
    [273, 4, 0],
    [277, 3, 1],
    [278, 4, labels.height],
    [279, 4, ids.byteLength],
    ...(pixelSize ? ([[282, 5, 1e4 / width], [283, 5, 1e4 / height], [296, 3, 3]] as [number, number, number][]) : []),
    [339, 3, 1],
  ];
  const end = 8 + 2 + 12 * tags.length + 4;
  const begin = end + (pixelSize ? 16 : 0);
  const view = new DataView(new ArrayBuffer(begin));
  view.setUint32(0, 0x002a4949, true);
  view.setUint32(4, 8, true);
  view.setUint16(8, tags.length, true);
  let [at, rest] = [10, end];
  for (const [tag, kind, value] of tags) {
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, kind, true);
    view.setUint32(at + 4, 1, true);
    if (kind === 3) view.setUint16(at + 8, value, true);
    else view.setUint32(at + 8, kind === 5 ? rest : tag === 273 ? begin : value, true);
    if (kind === 5) {
      const divisor = Math.min(1e6, Math.floor((2 ** 32 - 1) / value));
      view.setUint32(rest, Math.round(value * divisor), true);
      view.setUint32(rest + 4, divisor, true);
      rest += 8;
    }
    at += 12;
  }
  return [view.buffer, ids as BlobPart];
}

/** Write a gray PNG of 16 bits, or of 8 where no id is above 255. */
async function writePng({ labels }: Written): Promise<BlobPart[]> {
  const highest = maxId(labels);
  if (highest >= 2 ** 16) throw new InputError(`a PNG cannot hold ${highest} cells, expected at most 65535: take the TIFF`);
  const bytes = highest < 256 ? 1 : 2;
  const lines = new Uint8Array(labels.height * (1 + labels.width * bytes));
  for (let y = 0, to = 0; y < labels.height; y++) {
    lines[to++] = 0; // not filtered
    for (let x = 0; x < labels.width; x++) {
      const id = labels.data[y * labels.width + x];
      if (bytes === 2) lines[to++] = id >> 8;
      lines[to++] = id;
    }
  }
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, labels.width);
  header.setUint32(4, labels.height);
  header.setUint8(8, 8 * bytes);
  const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  const parts = [chunk("IHDR", new Uint8Array(header.buffer)), chunk("IDAT", await pack(lines))];
  return [signature, ...parts, chunk("IEND", new Uint8Array(0))] as BlobPart[];
}

function chunk(kind: string, content: Uint8Array): Uint8Array {
  const whole = new Uint8Array(content.length + 12);
  const view = new DataView(whole.buffer);
  view.setUint32(0, content.length);
  whole.set(new TextEncoder().encode(kind), 4);
  whole.set(content, 8);
  view.setUint32(content.length + 8, crc32(whole.subarray(4, content.length + 8)));
  return whole;
}

/** Write whole numbers in full, others to 6 significant digits, as Python does. */
function writeCsv({ table }: Written): BlobPart[] {
  const columns = Object.entries(table.columns);
  const count = columns.length ? columns[0][1].length : 0;
  const rows = Array.from({ length: count }, (_, row) => columns.map(([, values]) => asText(Number(values[row]))).join(","));
  return [[columns.map(([name]) => name).join(","), ...rows].map((row) => `${row}\r\n`).join("")];
}

function asText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Number.isInteger(value)) return BigInt(value).toString();
  const [digits, power] = value.toExponential(5).split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 6) return String(Number(value.toPrecision(6)));
  return `${Number(digits)}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** Write cells as a FeatureCollection, exact along the edges of pixels, which QuPath imports. */
function writeGeojson({ labels, table, provenance }: Written): BlobPart[] {
  const source = JSON.stringify(provenance.source ?? provenance);
  const features = [...cellPolygons(labels)].map(([cell, pieces], row) => ({
    type: "Feature",
    id: uuidOf(`${source} ${cell}`),
    geometry: geometryOf(pieces),
    properties: { objectType: "detection", name: String(cell), measurements: measurementsOf(table, row) },
  }));
  return [JSON.stringify({ type: "FeatureCollection", provenance, features })];
}

function geometryOf(pieces: Polygon[]): object {
  const closed = pieces.map((piece) => piece.map((ring) => [...ring, ring[0]]));
  if (closed.length === 1) return { type: "Polygon", coordinates: closed[0] };
  return { type: "MultiPolygon", coordinates: closed };
}

function measurementsOf(table: CellTable, row: number): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [name, values] of Object.entries(table.columns)) {
    const value = Number(values[row]);
    if (name !== "label" && Number.isFinite(value)) found[name] = value;
  }
  return found;
}

/** Make a UUID of a text, so that the same cell has the same one again. */
function uuidOf(text: string): string {
  const digits = sha256(new TextEncoder().encode(text)).slice(0, 32);
  const marked = `${digits.slice(0, 12)}8${digits.slice(13, 16)}a${digits.slice(17)}`;
  return [marked.slice(0, 8), marked.slice(8, 12), marked.slice(12, 16), marked.slice(16, 20), marked.slice(20)].join("-");
}

/** Return rings as points, where whole numbers are the centres of pixels. */
export function asPoints(polygon: Polygon): Point[][] {
  return polygon.map((ring) => ring.map(([x, y]): Point => [y - 0.5, x - 0.5]));
}
