/** Compressions of TIFF files. */

/** Unpack part of a file; `size` is how many bytes are expected. */
type Codec = (packed: Uint8Array, size: number) => Uint8Array | Promise<Uint8Array>;

/** By the number that the tag Compression has. */
export const CODECS: Record<number, Codec> = {
  1: (packed) => packed,
  5: unpackLzw,
  8: unpackDeflate,
  32773: unpackBits,
  32946: unpackDeflate,
};

async function unpackDeflate(packed: Uint8Array, size: number): Promise<Uint8Array> {
  const stream = new Blob([packed as BlobPart]).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  const bytes = new Uint8Array(size);
  let filled = 0;
  while (filled < size) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes.set(value.subarray(0, size - filled), filled);
    filled += value.length;
  }
  void reader.cancel().catch(() => undefined);
  return bytes.subarray(0, Math.min(filled, size));
}

/** PackBits: a count, then bytes as they are, or one byte to be repeated. */
function unpackBits(packed: Uint8Array, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let to = 0;
  for (let at = 0; at < packed.length && to < size; ) {
    const count = packed[at++];
    if (count < 128) {
      bytes.set(packed.subarray(at, Math.min(at + count + 1, at + size - to)), to);
      [at, to] = [at + count + 1, to + count + 1];
    } else if (count > 128) {
      bytes.fill(packed[at++], to, to + 257 - count);
      to += 257 - count;
    }
  }
  return bytes.subarray(0, Math.min(to, size));
}

const CLEAR = 256;
const END = 257;

/** LZW as TIFF has it: codes of 9 to 12 bits, the highest bit first, one bit longer a code early. */
function unpackLzw(packed: Uint8Array, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  // An entry is the place and length of what was written when it was made.
  const places = new Int32Array(4097);
  const lengths = new Int32Array(4097);
  let [to, bit, width, next, before, beforeLength] = [0, 0, 9, 258, -1, 0];
  while (to < size && bit + width <= packed.length * 8) {
    const at = bit >> 3;
    const word = (packed[at] << 16) | ((packed[at + 1] ?? 0) << 8) | (packed[at + 2] ?? 0);
    const code = (word >> (24 - width - (bit & 7))) & ((1 << width) - 1);
    bit += width;
    if (code === END) break;
    if (code === CLEAR) {
      [width, next, before] = [9, 258, -1];
      continue;
    }
    const start = to;
    if (code < 256) bytes[to++] = code;
    else if (code < next || (code === next && before >= 0)) {
      const [from, length] = code < next ? [places[code], lengths[code]] : [before, beforeLength + 1];
      for (let i = 0; i < length && to < size; i++) bytes[to++] = bytes[from + i];
    } else throw new Error("a code is not known");
    if (before >= 0 && next < 4096) {
      [places[next], lengths[next]] = [before, beforeLength + 1];
      next++;
    }
    [before, beforeLength] = [start, to - start];
    if (next >= (1 << width) - 1 && width < 12) width++;
  }
  return bytes.subarray(0, to);
}
