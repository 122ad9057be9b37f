/** TIFF files: the first page, gray, RGB or several channels, of whole numbers or floats. */
import { InputError } from "../../numerics/errors";
import type { Numbers } from "../../numerics/plane";
import type { Decoded } from "./decoded";
import { CODECS } from "./tiff_codecs";
import { Directory, TAG } from "./tiff_tags";

const COARSEST_UM = 10; // resolution tags that give larger pixels speak of paper: 72 or 300 dots per inch

export function isTiff(bytes: Uint8Array): boolean {
  const order = String.fromCharCode(bytes[0], bytes[1]);
  const [low, high] = order === "II" ? [bytes[2], bytes[3]] : [bytes[3], bytes[2]];
  return (order === "II" || order === "MM") && high === 0 && (low === 42 || low === 43);
}

/** What a page looks like in the file: strips are tiles as wide as the image. */
interface Layout {
  width: number;
  height: number;
  samples: number;
  planar: boolean;
  tileWidth: number;
  tileHeight: number;
  bytes: number;
  make: (buffer: ArrayBuffer) => Numbers;
  dtype: string;
  offsets: number[];
  counts: number[];
  compression: number;
  predictor: number;
}

/** Decode the first page of a TIFF file. */
export async function readTiff(
  bytes: Uint8Array,
  name: string,
  check: (height: number, width: number) => void,
): Promise<Decoded> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = bytes[0] === 0x49;
  const big = view.getUint16(2, little) === 43;
  const first = big ? Number(view.getBigUint64(8, little)) : view.getUint32(4, little);
  const page = new Directory(view, little, big, first, name);
  const layout = layoutOf(page, name);
  check(layout.height, layout.width);
  const pixels = await readPixels(bytes, layout, little, name);
  const photometric = page.one(TAG.photometric, 1);
  if (photometric === 0) throw unsupported(name, "white is 0 in it");
  const rgb = photometric === 2 && layout.samples >= 3 && layout.samples <= 4;
  return {
    height: layout.height,
    width: layout.width,
    channels: layout.samples,
    data: layout.make(pixels),
    dtype: layout.dtype,
    rgb,
    pixelSize: pixelSizeOf(page),
    notes: page.next ? [`${name} holds several pages: this is the first one`] : [],
  };
}

function unsupported(name: string, what: string): InputError {
  return new InputError(
    `${name}: ${what}, expected a TIFF of gray or RGB with whole numbers or floats, uncompressed or packed by ` +
      "LZW, Deflate or PackBits; save it so, or open it with `dinocell serve`",
  );
}

function layoutOf(page: Directory, name: string): Layout {
  const width = page.one(TAG.width, 0);
  const height = page.one(TAG.height, 0);
  const samples = page.one(TAG.samples, 1);
  const compression = page.one(TAG.compression, 1);
  const predictor = page.one(TAG.predictor, 1);
  const bits = page.all(TAG.bits).length ? page.all(TAG.bits) : [1];
  const format = page.one(TAG.format, 1);
  const tiled = page.all(TAG.tileOffsets).length > 0;
  if (!width || !height) throw unsupported(name, "its first page has no size");
  if (!(compression in CODECS)) throw unsupported(name, `its compression ${compression} is not known here`);
  if (bits.some((each) => each !== bits[0])) throw unsupported(name, "its channels differ in bits");
  const kind = KINDS[`${format} ${bits[0]}`];
  if (!kind) throw unsupported(name, `it has numbers of ${bits[0]} bits and format ${format}`);
  if (page.all(TAG.colourMap).length) throw unsupported(name, "its colours are in a table");
  return {
    width,
    height,
    samples,
    planar: samples > 1 && page.one(TAG.planar, 1) === 2,
    tileWidth: tiled ? page.one(TAG.tileWidth, width) : width,
    tileHeight: tiled ? page.one(TAG.tileHeight, height) : Math.min(page.one(TAG.rowsPerStrip, height), height),
    bytes: bits[0] / 8,
    make: kind.make,
    dtype: kind.dtype,
    offsets: page.all(tiled ? TAG.tileOffsets : TAG.offsets),
    counts: page.all(tiled ? TAG.tileCounts : TAG.counts),
    compression,
    predictor,
  };
}

/** Types by format (1 unsigned, 2 signed, 3 float) and bits. */
const KINDS: Record<string, { dtype: string; make: (buffer: ArrayBuffer) => Numbers }> = {
  "1 8": { dtype: "uint8", make: (buffer) => new Uint8Array(buffer) },
  "1 16": { dtype: "uint16", make: (buffer) => new Uint16Array(buffer) },
  "1 32": { dtype: "uint32", make: (buffer) => new Uint32Array(buffer) },
  "2 8": { dtype: "int8", make: (buffer) => new Int8Array(buffer) },
  "2 16": { dtype: "int16", make: (buffer) => new Int16Array(buffer) },
  "2 32": { dtype: "int32", make: (buffer) => new Int32Array(buffer) },
  "3 32": { dtype: "float32", make: (buffer) => new Float32Array(buffer) },
  "3 64": { dtype: "float64", make: (buffer) => new Float64Array(buffer) },
};

/** Read all tiles into one buffer (Y, X, C), in the byte order of this machine, which is little-endian. */
async function readPixels(bytes: Uint8Array, layout: Layout, little: boolean, name: string): Promise<ArrayBuffer> {
  const { width, height, samples, planar, tileWidth, tileHeight } = layout;
  const pixels = new Uint8Array(width * height * samples * layout.bytes);
  const across = Math.ceil(width / tileWidth);
  const down = Math.ceil(height / tileHeight);
  const inTile = planar ? 1 : samples;
  for (let number = 0; number < across * down * (planar ? samples : 1); number++) {
    const place = number % (across * down);
    const top = Math.floor(place / across) * tileHeight;
    const left = (place % across) * tileWidth;
    const isStrip = tileWidth === width;
    const rows = isStrip ? Math.min(tileHeight, height - top) : tileHeight;
    const size = rows * tileWidth * inTile * layout.bytes;
    const tile = await unpack(bytes, layout, number, size, name);
    if (!little) swap(tile, layout.predictor === 3 ? 1 : layout.bytes);
    undoPredictor(tile, layout, inTile);
    const channel = planar ? Math.floor(number / (across * down)) : 0;
    copyTile(tile, pixels, layout, { top, left, channel, inTile });
  }
  return pixels.buffer;
}

async function unpack(bytes: Uint8Array, layout: Layout, number: number, size: number, name: string): Promise<Uint8Array> {
  const begin = layout.offsets[number] ?? bytes.length;
  const packed = bytes.subarray(begin, begin + (layout.counts[number] ?? 0));
  try {
    const tile = await CODECS[layout.compression](packed, size);
    if (tile.length >= size) return tile.slice(0, size);
  } catch {
    // said below
  }
  throw new InputError(`${name}: pixels are missing or damaged, expected a whole TIFF file; save it again`);
}

function swap(tile: Uint8Array, bytes: number): void {
  for (let at = 0; at < tile.length; at += bytes) tile.subarray(at, at + bytes).reverse();
}

function undoPredictor(tile: Uint8Array, { predictor, tileWidth, bytes, dtype }: Layout, inTile: number): void {
  const line = tileWidth * inTile * bytes;
  if (predictor === 2) {
    const kind = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[bytes];
    if (!kind) return;
    const values = new kind(tile.buffer as ArrayBuffer, tile.byteOffset, tile.length / bytes);
    for (let begin = 0; begin < values.length; begin += tileWidth * inTile) {
      for (let at = begin + inTile; at < begin + tileWidth * inTile; at++) values[at] += values[at - inTile];
    }
  }
  if (predictor !== 3 || !dtype.startsWith("float")) return;
  for (let begin = 0; begin < tile.length; begin += line) {
    const row = tile.subarray(begin, begin + line);
    for (let at = inTile; at < line; at++) row[at] += row[at - inTile];
    const parts = row.slice(); // the highest bytes of all values first, then the next ones
    const count = line / bytes;
    for (let at = 0; at < line; at++) row[(at % count) * bytes + bytes - 1 - Math.floor(at / count)] = parts[at];
  }
}

interface Place {
  top: number;
  left: number;
  channel: number;
  inTile: number;
}

function copyTile(tile: Uint8Array, pixels: Uint8Array, layout: Layout, { top, left, channel, inTile }: Place): void {
  const { width, height, samples, tileWidth, bytes } = layout;
  const columns = Math.min(tileWidth, width - left);
  for (let y = 0; y * tileWidth * inTile * bytes < tile.length && top + y < height; y++) {
    const from = y * tileWidth * inTile * bytes;
    const to = ((top + y) * width + left) * samples * bytes;
    if (inTile === samples) {
      pixels.set(tile.subarray(from, from + columns * samples * bytes), to);
      continue;
    }
    for (let x = 0; x < columns; x++) {
      const value = tile.subarray(from + x * bytes, from + (x + 1) * bytes);
      pixels.set(value, to + (x * samples + channel) * bytes);
    }
  }
}

/** Read the size of a pixel off OME-XML, ImageJ's description, or the resolution tags: height, width, in µm. */
function pixelSizeOf(page: Directory): [number, number] | null {
  const description = page.text(TAG.description);
  const inXml = ["Y", "X"].map((axis) => {
    const size = new RegExp(`PhysicalSize${axis}="([^"]+)"`).exec(description)?.[1];
    const unit = new RegExp(`PhysicalSize${axis}Unit="([^"]+)"`).exec(description)?.[1] ?? "µm";
    return Number(size) * (MICROMETRES[unit] ?? NaN);
  });
  if (inXml.every((size) => size > 0)) return plausible(inXml, Infinity);
  const perUnit = [page.one(TAG.yResolution, 0), page.one(TAG.xResolution, 0)];
  const unit = /^unit=(.*)$/m.exec(description)?.[1].trim().replace("\\u00B5", "µ");
  if (description.startsWith("ImageJ=") && unit !== undefined && unit in MICROMETRES) {
    return plausible(perUnit.map((each) => MICROMETRES[unit] / each), Infinity);
  }
  const tagged = { 2: 25400, 3: 1e4 }[page.one(TAG.resolutionUnit, 2)] ?? NaN;
  return plausible(perUnit.map((each) => tagged / each), COARSEST_UM);
}

const MICROMETRES: Record<string, number> = { nm: 1e-3, µm: 1, um: 1, micron: 1, microns: 1, mm: 1e3, cm: 1e4, inch: 25400 };

function plausible([height, width]: number[], coarsest: number): [number, number] | null {
  const fits = (size: number): boolean => size >= 1e-5 && size <= Math.min(1e5, coarsest);
  return fits(height) && fits(width) ? [height, width] : null;
}
