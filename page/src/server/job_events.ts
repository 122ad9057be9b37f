/** Stream of jobs that change; where it breaks off, the list of jobs is asked for until it runs again. */

import type { Job } from "../backend";
import { ADDRESS } from "./requests";

const POLL_MS = 2000;

type Listener = (job: Job) => void;

export class JobEvents {
  private readonly listeners = new Set<Listener>();
  private stream: EventSource | null = null;
  private timer: number | undefined;
  private isBroken = false;

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
    stream.addEventListener("open", () => {
      if (this.isBroken) void this.ask();
    });
    stream.addEventListener("error", () => {
      this.isBroken = true;
      this.askLater();
    });
  }

  private close(): void {
    window.clearTimeout(this.timer);
    this.stream?.close();
    this.stream = null;
  }

  private askLater(): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.ask(), POLL_MS);
  }

  /** Ask for all jobs, again and again until the stream runs; one that gave up is opened anew. */
  private async ask(): Promise<void> {
    try {
      for (const job of await this.poll()) this.tell(job);
      if (this.stream?.readyState === EventSource.CLOSED) this.open();
      if (this.stream?.readyState === EventSource.OPEN) this.isBroken = false;
    } catch {
      // It is still away: the connection has said so.
    }
    if (this.isBroken && this.stream) this.askLater();
    else window.clearTimeout(this.timer);
  }

  private tell(job: Job): void {
    for (const listener of this.listeners) listener(job);
  }
}
