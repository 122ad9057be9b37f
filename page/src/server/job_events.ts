/** Stream of jobs that change; where it breaks off, the list of jobs is asked for until it runs again. */

import type { Job } from "../backend";
import { ADDRESS } from "./requests";

const POLL_MS = 2000;

type Listener = (job: Job) => void;

export class JobEvents {
  private readonly listeners = new Set<Listener>();
  private stream: EventSource | null = null;
  private timer: number | undefined;

  /** @param poll Return all jobs; rejects while the server is away. */
  constructor(private readonly poll: () => Promise<Job[]>) {}

  /** Call a listener with every job that changes; the stream is open while there is one. */
  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    if (!this.stream) this.open();
    return () => {
      this.listeners.delete(listener);
      if (!this.listeners.size) this.close();
    };
  }

  private open(): void {
    const stream = new EventSource(`${ADDRESS}/jobs/events`);
    this.stream = stream;
    stream.addEventListener("job", (event) => this.tell(JSON.parse((event as MessageEvent<string>).data) as Job));
    stream.addEventListener("open", () => window.clearTimeout(this.timer));
    stream.addEventListener("error", () => this.ask());
  }

  private close(): void {
    window.clearTimeout(this.timer);
    this.stream?.close();
    this.stream = null;
  }

  /** Ask for all jobs, again and again while the stream is broken; one that gave up is opened anew. */
  private ask(): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(async () => {
      if (!this.stream || this.stream.readyState === EventSource.OPEN) return;
      try {
        for (const job of await this.poll()) this.tell(job);
        if (this.stream?.readyState === EventSource.CLOSED) {
          this.open();
          return;
        }
      } catch {
        // It is still away: the connection has said so.
      }
      this.ask();
    }, POLL_MS);
  }

  private tell(job: Job): void {
    for (const listener of this.listeners) listener(job);
  }
}
