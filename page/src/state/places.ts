/** Planes of a file that holds several: scenes, times, slices. */

import type { ImageInfo, Place } from "../backend";

export interface Axis {
  key: keyof Place;
  title: string;
  /** How many there are. */
  count: number;
}

/** Return the axes along which the file of an image has more than one plane. */
export function axesOf({ scenes, times, slices }: ImageInfo): Axis[] {
  const axes: Axis[] = [
    { key: "scene", title: "Scene", count: scenes },
    { key: "time", title: "Time", count: times },
    { key: "z", title: "Slice", count: slices },
  ];
  return axes.filter(({ count }) => count > 1);
}

/** Return the name of an image: of the file, and where there are several planes, of the plane. */
export function nameOf(image: ImageInfo): string {
  const plane = axesOf(image).map(({ key, title }) => `${title.toLowerCase()} ${image.place[key]}`);
  return [image.name, ...plane].join(" · ");
}

/** Return the place with its numbers inside of what the file has; those that are none stay as they are in the image. */
export function placeWithin(image: ImageInfo, place: Place): Place {
  const found = { ...image.place };
  for (const { key, count } of axesOf(image)) {
    if (Number.isFinite(place[key])) found[key] = Math.min(Math.max(Math.round(place[key]), 0), count - 1);
  }
  return found;
}

/** Return whether two images are planes of one file. */
export function areOfOneFile(one: ImageInfo, other: ImageInfo): boolean {
  return one.id === other.id || (one.sha256 !== null && one.sha256 === other.sha256 && one.name === other.name);
}

/** Return the image that is another plane of an image's file, where it is among them. */
export function planeAt(images: readonly ImageInfo[], image: ImageInfo, { scene, time, z }: Place): ImageInfo | undefined {
  const isThere = ({ place }: ImageInfo) => place.scene === scene && place.time === time && place.z === z;
  return images.find((other) => areOfOneFile(image, other) && isThere(other));
}
