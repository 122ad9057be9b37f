/** Channels of an image: their colours and contrast where nobody chose others. */

import type { Channel, ImageInfo, View } from "../backend";

type ShownChannel = View["channels"][number];

/** How each channel is shown, whether it is shown or not. */
export interface ChannelSetting extends ShownChannel {
  shown: boolean;
}

const PRIMARY = ["#ff0000", "#00ff00", "#0000ff"];
/** Colours that most people can tell apart, also where two of them overlap. */
const APART = ["#00ff00", "#ff00ff", "#00ffff", "#ffff00", "#ff8000", "#0080ff"];
const SHOWN_AT_FIRST = 4;

/** Return how the channels are shown where nobody chose: colours as they are, one channel in gray, more in colours. */
export function defaultSettings(image: ImageInfo): ChannelSetting[] {
  return image.channels.map((channel, at) => ({
    index: channel.index,
    ...ownContrast(image, channel),
    colour: ownColour(image, at),
    shown: at < SHOWN_AT_FIRST,
  }));
}

/** Return the view of channels that are shown. */
export function viewOf(settings: ChannelSetting[]): View {
  return {
    channels: settings
      .filter(({ shown }) => shown)
      .map(({ index, low, high, colour }) => ({ index, low, high, colour })),
  };
}

/** Return the view of an image where nobody chose. */
export function defaultView(image: ImageInfo): View {
  return viewOf(defaultSettings(image));
}

/** Return the values that are black and white where nobody chose; 8-bit colours are shown as they are. */
export function ownContrast(image: ImageInfo, channel: Channel): { low: number; high: number } {
  if (image.rgb && image.dtype === "uint8") return { low: 0, high: 255 };
  return { low: channel.low, high: channel.high };
}

function ownColour(image: ImageInfo, at: number): string {
  if (image.rgb) return PRIMARY[at % PRIMARY.length];
  return image.channels.length === 1 ? "#ffffff" : APART[at % APART.length];
}
