/** Planes of a stack: another one is read as an image of its own. */

import type { ImageInfo, Place } from "../backend";
import { nameOf, planeAt } from "../state/places";
import { attempt, say, type Session } from "../state/session";
import { showImage } from "./images";

/** Show a plane of an image's file, with the channels as they are; one that is in the list is not read again. */
export async function showPlane(session: Session, image: ImageInfo, place: Place): Promise<void> {
  const { backend, store } = session;
  const { image: shown, channels } = store.state;
  const known = planeAt(store.state.images, image, place);
  if (known) {
    showImage(session, known);
    return;
  }
  const added = await attempt(session, () => backend.addPlane(image.id, place));
  if (!added) return;
  store.set({ images: [added, ...store.state.images] });
  say(session, `${nameOf(added)} is here`);
  if (store.state.image?.id !== shown?.id) return; // the user looks at something else by now
  showImage(session, added);
  if (channels.length === added.channels.length) store.set({ channels });
}
