/** How an image is shown, as the part of an address after `?`. */

import type { ImageInfo, View } from "../backend";
import { defaultView } from "../viewer/channels";

/** Return the query of an image's tiles, with its `?`; empty where the image is shown as it is. */
export function viewQuery(image: ImageInfo, view: View): string {
  if (image.rgb && JSON.stringify(view) === JSON.stringify(defaultView(image))) return "";
  const channel = view.channels.map(({ index }) => index).join(",");
  const range = view.channels.map(({ low, high }) => `${low}:${high}`).join(",");
  const colour = view.channels.map(({ colour }) => colour.replace("#", "")).join(",");
  return `?channel=${channel}&range=${range}&colour=${colour}`;
}
