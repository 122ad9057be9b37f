/** Head of the page: its name, how it looks, and its keys. */

import { button, choice, element } from "../elements/element";
import type { Session } from "../state/session";
import type { State } from "../state/state";
import { showKeys } from "./keys_dialog";

const THEMES = [
  ["system", "System"],
  ["light", "Light"],
  ["dark", "Dark"],
] as const;

export function header(session: Session): HTMLElement {
  const theme = choice(THEMES, (value) => session.store.set({ theme: value as State["theme"] }), {
    attributes: { "aria-label": "Light or dark" },
    title: "Light or dark",
  });
  session.store.watch(["theme"], (state) => {
    theme.value = state.theme;
    document.documentElement.dataset.theme = state.theme;
  });
  const where = session.backend.kind === "server" ? "" : "Your images stay in this browser.";
  return element(
    "header",
    {},
    element("h1", { text: "DINOCell" }),
    element("p", { class: "hint where", text: where }),
    theme,
    button("?", showKeys, {
      class: "quiet",
      title: "Keys (?)",
      attributes: { "aria-label": "Keys", "aria-keyshortcuts": "?" },
    }),
  );
}

/** Return a banner that is there while the server does not answer. */
export function lostBanner(session: Session): HTMLElement {
  const text =
    "The server does not answer. The page tries again every two seconds; what it has done is kept. If it was stopped, start it again with dinocell serve.";
  const banner = element("div", { class: "banner", attributes: { role: "alert" } });
  session.store.watch(["isLost"], ({ isLost }) => {
    banner.hidden = !isLost;
    banner.textContent = isLost ? text : "";
  });
  return banner;
}
