/** Upload of a file with its progress, which `fetch` does not tell. */

import { BackendError, type ImageInfo } from "../backend";
import type { Connection } from "./connection";
import { ADDRESS, wordsOf } from "./requests";

/** Send a file and return the image that the server made of it. */
export function upload(
  file: File,
  connection: Connection,
  onProgress: (share: number) => void,
  signal?: AbortSignal,
): Promise<ImageInfo> {
  const form = new FormData();
  form.append("file", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${ADDRESS}/images`);
    request.upload.onprogress = (event) => onProgress(event.total ? event.loaded / event.total : 0);
    request.onload = () => {
      connection.note(true);
      if (request.status === 201) resolve(JSON.parse(request.responseText) as ImageInfo);
      else reject(new BackendError(wordsOf(request.status, request.responseText)));
    };
    request.onerror = () => {
      connection.note(false);
      reject(
        new BackendError(`${file.name}: the upload broke off, expected the server to answer; drop the file again`),
      );
    };
    request.onabort = () => reject(new DOMException("The upload was cancelled", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
