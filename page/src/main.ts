/** Entry of the page: chooses who segments, and opens it. */

import type { Backend } from "./backend";
import { element } from "./elements/element";
import { load, openPage } from "./page";
import { ServerBackend } from "./server/backend";
import { START } from "./state/state";
import { Store } from "./state/store";

async function open(): Promise<void> {
  const kind = document.querySelector<HTMLMetaElement>('meta[name="dinocell-backend"]')?.content;
  const store = new Store(START);
  let backend: Backend;
  if (kind === "browser") {
    backend = await (await import("./browser/backend")).browserBackend();
  } else {
    const server = new ServerBackend();
    backend = server;
    server.connection.onChange((isLost) => {
      store.set({ isLost });
      if (!isLost) void load({ backend: server, store });
    });
  }
  await openPage({ backend, store });
}

open().catch((error: unknown) => {
  document.body.append(
    element("p", {
      class: "banner",
      text: error instanceof Error ? error.message : String(error),
      attributes: { role: "alert" },
    }),
  );
});
