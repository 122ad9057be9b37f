/** Directories and tags of TIFF files. */
import { InputError } from "../../numerics/errors";

export const TAG = {
  width: 256,
  height: 257,
  bits: 258,
  compression: 259,
  photometric: 262,
  description: 270,
  offsets: 273,
  samples: 277,
  rowsPerStrip: 278,
  counts: 279,
  xResolution: 282,
  yResolution: 283,
  planar: 284,
  resolutionUnit: 296,
  predictor: 317,
  colourMap: 320,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  tileCounts: 325,
  format: 339,
} as const;

/** Bytes of a value by its type in a tag. */
const SIZES: Record<number, number> = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8 };

/** One page of a TIFF file: its tags, as numbers. */
export class Directory {
  private readonly tags = new Map<number, number[]>();
  /** Place of the next page; 0 after the last. */
  readonly next: number;

  constructor(
    readonly view: DataView,
    readonly little: boolean,
    readonly big: boolean,
    at: number,
    name: string,
  ) {
    try {
      const count = big ? this.long(at) : view.getUint16(at, little);
      const size = big ? 20 : 12;
      const begin = at + (big ? 8 : 2);
      for (let entry = 0; entry < count; entry++) this.readTag(begin + entry * size);
      this.next = big ? this.long(begin + count * size) : view.getUint32(begin + count * size, little);
    } catch {
      throw new InputError(`${name}: its directory is damaged, expected a whole TIFF file; save it again`);
    }
  }

  private long(at: number): number {
    return Number(this.view.getBigUint64(at, this.little));
  }

  private readTag(at: number): void {
    const kind = this.view.getUint16(at + 2, this.little);
    const size = SIZES[kind];
    if (!size) return;
    const count = this.big ? this.long(at + 4) : this.view.getUint32(at + 4, this.little);
    const inside = at + (this.big ? 12 : 8);
    const fits = count * size <= (this.big ? 8 : 4);
    const begin = fits ? inside : this.big ? this.long(inside) : this.view.getUint32(inside, this.little);
    if (begin + count * size > this.view.byteLength) return; // damaged: what is needed is missed later
    const values = Array.from({ length: count }, (_, number) => this.value(begin + number * size, kind));
    this.tags.set(this.view.getUint16(at, this.little), values);
  }

  private value(at: number, kind: number): number {
    const { view, little } = this;
    switch (SIZES[kind]) {
      case 1:
        return view.getUint8(at);
      case 2:
        return view.getUint16(at, little);
      case 4:
        return kind === 11 ? view.getFloat32(at, little) : view.getUint32(at, little);
      default:
        if (kind === 5) return view.getUint32(at, little) / view.getUint32(at + 4, little);
        return kind === 12 ? view.getFloat64(at, little) : this.long(at);
    }
  }

  all(tag: number): number[] {
    return this.tags.get(tag) ?? [];
  }

  one(tag: number, otherwise: number): number {
    return this.tags.get(tag)?.[0] ?? otherwise;
  }

  text(tag: number): string {
    return new TextDecoder().decode(Uint8Array.from(this.all(tag))).replace(/\0.*$/s, "");
  }
}
