/** A page without a user interface, for tests that drive the backend alone. */
import { BackendError, type Backend } from "../src/backend";
import { browserBackend } from "../src/browser/backend";

declare global {
  interface Window {
    backend: Promise<Backend>;
    asBase64(blob: Blob): Promise<string>;
    BackendError: typeof BackendError;
  }
}

window.backend = browserBackend();
window.BackendError = BackendError;

/** Return bytes as text, which a test can take out of the page. */
window.asBase64 = (blob) =>
  new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",")[1]);
    reader.readAsDataURL(blob);
  });
