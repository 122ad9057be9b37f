/** Backend that segments in this browser; filled in by the build of a static page. */

import { type Backend, BackendError } from "../backend";

/** Return a backend that needs no server. */
export function browserBackend(): Promise<Backend> {
  return Promise.reject(
    new BackendError("this page: it was built without a network, expected a server; run dinocell serve"),
  );
}
