/** An image file as it was decoded. */
import type { Image } from "../../numerics/plane";

export interface Decoded extends Image {
  /** Type of the values, as NumPy names it. */
  readonly dtype: string;
  /** True where the channels are red, green and blue, with or without alpha. */
  readonly rgb: boolean;
  /** Height and width of a pixel in micrometres, where the file says it. */
  readonly pixelSize: [number, number] | null;
  readonly notes: string[];
}
