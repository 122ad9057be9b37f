/** Channels of the shown image: on or off, colour, contrast. */

import type { Channel, ImageInfo } from "../backend";
import { button, element, section } from "../elements/element";
import { Range } from "../elements/range";
import type { Session } from "../state/session";
import { type ChannelSetting, defaultSettings, ownContrast } from "../viewer/channels";

interface Row {
  root: HTMLElement;
  show: (setting: ChannelSetting) => void;
}

export function channelsPart(session: Session): HTMLElement {
  const list = element("div", { class: "channels" });
  let rows: Row[] = [];
  session.store.watch(["image"], ({ image }) => {
    rows = image ? image.channels.map((channel, at) => channelRow(session, image, channel, at)) : [];
    list.replaceChildren(...rows.map(({ root }) => root));
  });
  session.store.watch(["channels"], ({ channels }) =>
    rows.forEach((row, at) => channels[at] && row.show(channels[at])),
  );
  const reset = button("Back to the image's values", () => {
    const { image } = session.store.state;
    if (image) session.store.set({ channels: defaultSettings(image) });
  });
  const part = section("Channels", list, reset);
  session.store.watch(["image"], ({ image }) => (part.hidden = !image));
  return part;
}

function channelRow(session: Session, image: ImageInfo, channel: Channel, at: number): Row {
  const name = channel.name || `channel ${channel.index}`;
  const change = (part: Partial<ChannelSetting>) =>
    session.store.set({
      channels: session.store.state.channels.map((other, index) => (index === at ? { ...other, ...part } : other)),
    });
  const shown = element("input", { attributes: { type: "checkbox" } });
  shown.addEventListener("change", () => change({ shown: shown.checked }));
  const colour = element("input", { attributes: { type: "color", "aria-label": `Colour of ${name}` } });
  colour.addEventListener("input", () => change({ colour: colour.value }));
  const auto = button("Auto", () => change(ownContrast(image, channel)), {
    class: "small",
    attributes: { "aria-label": `Auto: contrast of ${name} by its values` },
  });
  const own = ownContrast(image, channel);
  const range = new Range({
    label: `Contrast of ${name}`,
    least: Math.min(channel.least, own.low),
    most: Math.max(channel.most, own.high),
    onChange: (low, high) => change({ low, high }),
  });
  const head = element(
    "div",
    { class: "channel-head" },
    element("label", {}, shown, element("span", { text: name })),
    colour,
    auto,
  );
  return {
    root: element("div", { class: "channel" }, head, range.root),
    show: (setting) => {
      shown.checked = setting.shown;
      colour.value = setting.colour;
      range.show(setting.low, setting.high);
    },
  };
}
