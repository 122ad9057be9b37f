/** Small picture of an image: its coarsest tile. */

import type { ImageInfo } from "../backend";
import { element } from "../elements/element";
import type { Session } from "../state/session";
import { defaultView } from "../viewer/channels";

const SIDE = 96;

/** Return a canvas that shows the image once its tile has come. */
export function thumbnail(session: Session, image: ImageInfo): HTMLCanvasElement {
  const canvas = element("canvas", { class: "thumbnail", attributes: { "aria-hidden": "true" } });
  canvas.width = canvas.height = SIDE;
  void drawInto(canvas, session, image);
  return canvas;
}

async function drawInto(canvas: HTMLCanvasElement, session: Session, image: ImageInfo): Promise<void> {
  try {
    const tile = await session.backend.imageTile(image, defaultView(image), 0, 0, 0);
    const side = Math.min(tile.width, tile.height);
    const [left, top] = [(tile.width - side) / 2, (tile.height - side) / 2];
    canvas.getContext("2d")?.drawImage(tile, left, top, side, side, 0, 0, SIDE, SIDE);
    tile.close();
  } catch {
    canvas.classList.add("missing"); // The list says what is wrong with an image; its small picture need not.
  }
}
