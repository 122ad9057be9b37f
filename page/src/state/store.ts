/** State that views subscribe to. */

type Listener<State> = (state: Readonly<State>) => void;

interface Watch<State> {
  keys: readonly (keyof State)[];
  listener: Listener<State>;
}

export class Store<State extends object> {
  private readonly watches = new Set<Watch<State>>();

  constructor(private current: State) {}

  /** What holds now; changed only by `set`. */
  get state(): Readonly<State> {
    return this.current;
  }

  /** Change some of it; whoever watches a part that is another one now is called. */
  set(change: Partial<State>): void {
    const before = this.current;
    this.current = { ...before, ...change };
    const changed = (Object.keys(change) as (keyof State)[]).filter((key) => before[key] !== this.current[key]);
    for (const { keys, listener } of [...this.watches]) {
      if (keys.some((key) => changed.includes(key))) listener(this.current);
    }
  }

  /** Call a listener now, and whenever one of the keys changes; returns what ends that. */
  watch(keys: readonly (keyof State)[], listener: Listener<State>): () => void {
    const watch = { keys, listener };
    this.watches.add(watch);
    listener(this.current);
    return () => this.watches.delete(watch);
  }
}
