/** Whether the server answers, and who wants to know. */

type Listener = (isLost: boolean) => void;

export class Connection {
  private lost = false;
  private readonly listeners = new Set<Listener>();

  /** True after a request that nobody answered, until one is answered. */
  get isLost(): boolean {
    return this.lost;
  }

  /** Call a listener when the server is lost and when it is found again; returns what ends that. */
  onChange(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Note whether a request was answered. */
  note(wasAnswered: boolean): void {
    if (wasAnswered !== this.lost) return;
    this.lost = !wasAnswered;
    for (const listener of this.listeners) listener(this.lost);
  }
}
