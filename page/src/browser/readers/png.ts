/** PNG files, decoded by hand: a browser would bring 16 bits to 8, and colours to the screen's. */
import { InputError } from "../../numerics/errors";
import type { Decoded } from "./decoded";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/** Samples a pixel by colour type: gray, RGB, palette, gray and alpha, RGBA. */
const SAMPLES: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** First column and row, and steps between them, of the seven passes of an interlaced file. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, at) => bytes[at] === byte);
}

interface Header {
  width: number;
  height: number;
  depth: number;
  colour: number;
  interlaced: boolean;
}

interface Chunks {
  header: Header;
  palette: Uint8Array | null;
  packed: Uint8Array[];
}

/**
 * Decode a PNG file: a palette becomes RGB; alpha is kept beside RGB and dropped beside gray.
 *
 * @param name Of the file, for messages.
 * @param check Called with height and width before pixels are unpacked; may raise.
 */
export async function readPng(
  bytes: Uint8Array,
  name: string,
  check: (height: number, width: number) => void,
): Promise<Decoded> {
  const { header, palette, packed } = readChunks(bytes, name);
  check(header.height, header.width);
  const samples = SAMPLES[header.colour];
  const lines = await unpack(packed, dataLength(header, samples), name);
  const stored = header.depth === 16 ? new Uint16Array(0) : new Uint8Array(0);
  const values = new (stored.constructor as typeof Uint16Array)(header.height * header.width * samples);
  readPasses(lines, header, samples, values);
  if (header.colour === 0 && (header.depth === 2 || header.depth === 4)) stretch(values, header.depth);
  const decoded = header.colour === 3 ? lookUp(values, palette, name) : dropAlpha(values, samples);
  return {
    height: header.height,
    width: header.width,
    ...decoded,
    dtype: header.depth === 16 ? "uint16" : "uint8",
    rgb: decoded.channels > 1,
    pixelSize: null,
    notes: [],
  };
}

function damaged(name: string, what: string): InputError {
  return new InputError(`${name}: ${what}, expected a whole PNG file; save it again`);
}

function readChunks(bytes: Uint8Array, name: string): Chunks {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: Header | null = null;
  let palette: Uint8Array | null = null;
  const packed: Uint8Array[] = [];
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (content.length < length) throw damaged(name, "the file ends early");
    if (kind === "IHDR" && length >= 13) {
      header = {
        width: view.getUint32(at + 8),
        height: view.getUint32(at + 12),
        depth: bytes[at + 16],
        colour: bytes[at + 17],
        interlaced: bytes[at + 20] === 1,
      };
    }
    if (kind === "PLTE") palette = content;
    if (kind === "IDAT") packed.push(content);
    at += length + 12;
  }
  if (!header || !(header.colour in SAMPLES) || ![1, 2, 4, 8, 16].includes(header.depth)) {
    throw damaged(name, "its header is damaged");
  }
  return { header, palette, packed };
}

interface Pass {
  width: number;
  height: number;
  place: number[];
}

function passesOf(header: Header): Pass[] {
  const places = header.interlaced ? PASSES : [[0, 0, 1, 1]];
  return places
    .map((place) => ({
      width: Math.ceil((header.width - place[0]) / place[2]),
      height: Math.ceil((header.height - place[1]) / place[3]),
      place,
    }))
    .filter((pass) => pass.width > 0 && pass.height > 0);
}

function lineLength(width: number, header: Header, samples: number): number {
  return Math.ceil((width * samples * header.depth) / 8);
}

function dataLength(header: Header, samples: number): number {
  const lengths = passesOf(header).map((pass) => pass.height * (1 + lineLength(pass.width, header, samples)));
  return lengths.reduce((sum, length) => sum + length, 0);
}

/** Unpack zlib data of a known length; more than that is not read. */
async function unpack(packed: Uint8Array[], length: number, name: string): Promise<Uint8Array> {
  const stream = new Blob(packed as BlobPart[]).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  const lines = new Uint8Array(length);
  let filled = 0;
  try {
    while (filled < length) {
      const { done, value } = await reader.read();
      if (done) break;
      const part = value.subarray(0, length - filled);
      lines.set(part, filled);
      filled += part.length;
    }
    void reader.cancel().catch(() => undefined);
  } catch {
    throw damaged(name, "its pixels are damaged");
  }
  if (filled < length) throw damaged(name, "pixels are missing");
  return lines;
}

function readPasses(lines: Uint8Array, header: Header, samples: number, values: Uint8Array | Uint16Array): void {
  const back = Math.max(1, (samples * header.depth) >> 3);
  let at = 0;
  for (const { width, height, place } of passesOf(header)) {
    const length = lineLength(width, header, samples);
    let before = new Uint8Array(length);
    for (let y = 0; y < height; y++) {
      const line = lines.subarray(at + 1, at + 1 + length);
      unfilter(lines[at], line, before, back);
      const row = place[1] + y * place[3];
      for (let i = 0; i < width * samples; i++) {
        const column = place[0] + Math.floor(i / samples) * place[2];
        values[(row * header.width + column) * samples + (i % samples)] = sampleOf(line, i, header.depth);
      }
      before = line as Uint8Array<ArrayBuffer>;
      at += length + 1;
    }
  }
}

function sampleOf(line: Uint8Array, at: number, depth: number): number {
  if (depth === 8) return line[at];
  if (depth === 16) return (line[2 * at] << 8) | line[2 * at + 1];
  const bit = at * depth;
  return (line[bit >> 3] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
}

/** Undo the filter of a line, in place; `before` is the line above, `back` the bytes of a pixel. */
function unfilter(filter: number, line: Uint8Array, before: Uint8Array, back: number): void {
  for (let i = 0; i < line.length; i++) {
    const left = i >= back ? line[i - back] : 0;
    const above = before[i];
    if (filter === 1) line[i] += left;
    else if (filter === 2) line[i] += above;
    else if (filter === 3) line[i] += (left + above) >> 1;
    else if (filter === 4) line[i] += paeth(left, above, i >= back ? before[i - back] : 0);
  }
}

function paeth(left: number, above: number, corner: number): number {
  const [a, b, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}

/** Bring gray of 2 or 4 bits to 0 … 255; of 1 bit it is 0 and 1, as in Python. */
function stretch(values: Uint8Array | Uint16Array, depth: number): void {
  const factor = 255 / ((1 << depth) - 1);
  for (let i = 0; i < values.length; i++) values[i] *= factor;
}

function lookUp(values: ArrayLike<number>, palette: Uint8Array | null, name: string): { data: Uint8Array; channels: 3 } {
  if (!palette) throw damaged(name, "its palette is missing");
  const data = new Uint8Array(values.length * 3);
  for (let i = 0; i < values.length; i++) {
    for (let c = 0; c < 3; c++) data[3 * i + c] = palette[3 * values[i] + c] ?? 0;
  }
  return { data, channels: 3 };
}

function dropAlpha<T extends Uint8Array | Uint16Array>(values: T, samples: number): { data: T; channels: number } {
  if (samples !== 2) return { data: values, channels: samples };
  return { data: values.filter((_, at) => at % 2 === 0) as T, channels: 1 };
}
