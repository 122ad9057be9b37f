/** An image that is open in the browser. */
import type { ImageInfo } from "../backend";
import { InputError } from "../numerics/errors";
import type { Image, Plane } from "../numerics/plane";
import { toGrayscale } from "../numerics/preprocessing";
import { Pyramid } from "./pyramid";
import type { Decoded } from "./readers/decoded";

export class OpenImage {
  readonly info: ImageInfo;
  readonly pyramid: Pyramid;

  constructor(
    id: string,
    name: string,
    bytes: number,
    readonly decoded: Decoded,
  ) {
    this.pyramid = new Pyramid(decoded);
    const { rgb, channels } = decoded;
    const names = rgb ? ["R", "G", "B"] : Array.from({ length: channels }, (_, at) => `channel ${at}`);
    this.info = {
      id,
      name,
      bytes,
      sha256: null,
      width: decoded.width,
      height: decoded.height,
      dtype: decoded.dtype,
      rgb,
      channels: this.pyramid.channels(names, rgb),
      pixel_size_um: decoded.pixelSize,
      levels: this.pyramid.levels.length,
      scenes: 1,
      times: 1,
      slices: 1,
      place: { scene: 0, time: 0, z: 0 },
      created: new Date().toISOString(),
      notes: decoded.notes,
    };
  }

  /** Return the channel that is segmented, by number or name; colours are segmented together. */
  chosen(channel: unknown): Image {
    const { decoded, info } = this;
    const given = channel !== undefined && channel !== null;
    if (!given && (decoded.channels === 1 || decoded.rgb)) return decoded;
    const names = info.channels.map(({ name }) => name).join(", ");
    const found = info.channels.find(({ index, name }) => channel === index || channel === name || channel === String(index));
    if (found) return { ...this.plane(found.index), channels: 1 };
    throw new InputError(
      given
        ? `${info.name} has no channel ${String(channel)}, expected one of ${names}: choose one of these`
        : `${info.name} has ${decoded.channels} channels (${names}), expected a choice: choose the channel to segment`,
    );
  }

  /** Return what cells are measured in: the luminance, or all channels by name. */
  measured(): Map<string, Plane> {
    if (this.decoded.channels === 1 || this.decoded.rgb) return new Map([["", toGrayscale(this.decoded)]]);
    return new Map(this.info.channels.map(({ name, index }) => [name, this.plane(index)]));
  }

  /** Edge of a pixel in micrometres, where it is known and pixels are square. */
  get pixelEdge(): number | null {
    const [height, width] = this.info.pixel_size_um ?? [0, 0];
    return width > 0 && Math.abs(width - height) <= 0.01 * width ? width : null;
  }

  private plane(index: number): Plane {
    const { height, width, channels, data } = this.decoded;
    const own = data.filter((_: number, at: number) => at % channels === index);
    return { height, width, data: own as typeof data };
  }
}
