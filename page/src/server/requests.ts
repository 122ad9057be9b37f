/** Requests to the server, whose refusals become errors in its own words. */

import { BackendError } from "../backend";
import type { Connection } from "./connection";

export const ADDRESS = "/api/v1";

/** Answers of something between the page and the server, where the server itself is away. */
const NOBODY_THERE = new Set([502, 503, 504]);

const LOST = "server: it does not answer, expected DINOCell to be running; start it again with dinocell serve";

export class Requests {
  constructor(private readonly connection: Connection) {}

  /** Return the JSON that the server answers. */
  async json<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await this.send(method, path, body);
    return (await response.json()) as Answer;
  }

  /** Send a request whose answer does not matter. */
  async order(method: string, path: string): Promise<void> {
    await this.send(method, path);
  }

  /** Return the bytes that the server answers. */
  async bytes(path: string, signal?: AbortSignal): Promise<Blob> {
    const response = await this.send("GET", path, undefined, signal);
    return response.blob();
  }

  /** Return a file that the server answers, with the name that it gives it; null where it gives none. */
  async file(path: string): Promise<{ blob: Blob; name: string | null }> {
    const response = await this.send("GET", path);
    return { blob: await response.blob(), name: nameIn(response.headers.get("Content-Disposition") ?? "") };
  }

  private async send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(ADDRESS + path, {
        method,
        signal,
        headers: body === undefined ? {} : { "Content-Type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      this.connection.note(false);
      throw new BackendError(LOST);
    }
    this.connection.note(!NOBODY_THERE.has(response.status));
    if (!response.ok) throw new BackendError(wordsOf(response.status, await response.text()));
    return response;
  }
}

/** Return the words of an answer that is an error: its `message`, or what its number means. */
export function wordsOf(status: number, text: string): string {
  if (NOBODY_THERE.has(status)) return LOST;
  try {
    const answer: unknown = JSON.parse(text);
    if (typeof answer === "object" && answer !== null && "message" in answer) return String(answer.message);
  } catch {
    // Something else than the server answered: its text is a page, not words.
  }
  return `server: it answered ${status} without a reason, expected a message; look at the terminal of dinocell serve`;
}

/** Return the name of a file in the header `Content-Disposition`, the one in UTF-8 where there are two. */
export function nameIn(header: string): string | null {
  const utf8 = /filename\*=UTF-8''([^;]+)/i.exec(header);
  if (utf8) return decodeURIComponent(utf8[1]);
  return /filename="([^"]+)"/i.exec(header)?.[1] ?? /filename=([^;\s]+)/i.exec(header)?.[1] ?? null;
}
