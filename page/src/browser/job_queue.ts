/** Jobs one after the other; each ends done, failed or cancelled. */
import type { Job, Progress } from "../backend";
import { Cancelled, InputError } from "../numerics/errors";

/** Work of a job: returns the id of the result that it made. */
export type Work = (id: string, report: (progress: Progress) => void, signal: AbortSignal) => Promise<string>;

interface Queued {
  job: Job;
  work: Work;
  cancel: AbortController;
}

export class JobQueue {
  private readonly entries = new Map<string, Queued>();
  private last: Promise<void> = Promise.resolve();

  /** @param tell Called with every job that changes. */
  constructor(private readonly tell: (job: Job) => void) {}

  list(): Job[] {
    return [...this.entries.values()].map(({ job }) => job);
  }

  add(image: string, settings: Record<string, unknown>, work: Work): Job {
    const id = `j${this.entries.size + 1}`;
    const job: Job = {
      id,
      kind: "segment",
      state: "queued",
      image,
      result: null,
      progress: { stage: "waiting", done: 0, total: 0 },
      problem: null,
      settings,
      created: new Date().toISOString(),
      curve: [],
      learned: null,
    };
    const entry = { job, work, cancel: new AbortController() };
    this.entries.set(id, entry);
    this.last = this.last.then(() => this.run(entry));
    return job;
  }

  cancel(id: string): void {
    const entry = this.entries.get(id);
    if (!entry) throw new InputError(`job ${id} is not there, expected the id of one`);
    entry.cancel.abort();
    if (entry.job.state === "queued") this.change(entry, { state: "cancelled" });
  }

  /** Cancel all jobs of an image. */
  cancelOf(image: string): void {
    for (const { job } of this.entries.values()) {
      if (job.image === image && (job.state === "queued" || job.state === "running")) this.cancel(job.id);
    }
  }

  private change(entry: Queued, changes: Partial<Job>): void {
    entry.job = { ...entry.job, ...changes };
    this.tell(entry.job);
  }

  private async run(entry: Queued): Promise<void> {
    if (entry.cancel.signal.aborted) return;
    this.change(entry, { state: "running" });
    const report = (progress: Progress): void => this.change(entry, { progress });
    try {
      const result = await entry.work(entry.job.id, report, entry.cancel.signal);
      this.change(entry, { state: "done", result });
    } catch (error) {
      if (error instanceof Cancelled) this.change(entry, { state: "cancelled" });
      else this.change(entry, { state: "failed", problem: error instanceof Error ? error.message : String(error) });
    }
  }
}
