/**
 * Tiles that are there, on their way, or out of date.
 *
 * At most `limit` tiles are kept, those that were used last. A tile that is out of date is shown until its new one has
 * come, so that nothing flickers. Requests for tiles that nobody wants any more are aborted.
 */

import { keyOf, type TileIndex } from "./pyramid";

const AT_ONCE = 8;
const TRY_AGAIN_MS = 3000;

interface Entry<Tile> {
  index: TileIndex;
  tile: Tile | null;
  isStale: boolean;
  /** Request under way. */
  request: AbortController | null;
  failed: boolean;
}

export interface TileStoreOptions<Tile> {
  load: (index: TileIndex, signal: AbortSignal) => Promise<Tile>;
  /** Called when a tile has come. */
  onTile: (index: TileIndex) => void;
  /** Called with a tile that is dropped. */
  onDrop?: (tile: Tile) => void;
  limit: number;
}

export class TileStore<Tile> {
  /** In the order of their last use. */
  private readonly entries = new Map<string, Entry<Tile>>();
  private wanted: TileIndex[] = [];
  private running = 0;

  constructor(private readonly options: TileStoreOptions<Tile>) {}

  /** Return a tile where it is there, in or out of date. */
  get(index: TileIndex): Tile | null {
    const entry = this.entries.get(keyOf(index));
    if (!entry || entry.tile === null) return null;
    this.touch(entry);
    return entry.tile;
  }

  /** Return a tile where it is there and up to date. */
  getFresh(index: TileIndex): Tile | null {
    const entry = this.entries.get(keyOf(index));
    return entry && !entry.isStale && !entry.request ? entry.tile : null;
  }

  /** Load the tiles that are wanted now, in this order, and abort requests for others. */
  want(indices: TileIndex[]): void {
    this.wanted = indices;
    const keys = new Set(indices.map(keyOf));
    for (const [key, entry] of this.entries) if (entry.request && !keys.has(key)) entry.request.abort();
    this.loadNext();
  }

  /** Return a tile once it is there and up to date. */
  async fetch(index: TileIndex): Promise<Tile> {
    const entry = this.entries.get(keyOf(index));
    if (entry && entry.tile !== null && !entry.isStale) return entry.tile;
    const tile = await this.options.load(index, new AbortController().signal);
    const now = this.entryOf(index);
    if (now.tile === null || now.isStale) this.keep(now, tile);
    return tile;
  }

  /** Let tiles be loaded again, all or those for which `isStale` is true. */
  spoil(isStale: (index: TileIndex) => boolean = () => true): void {
    for (const entry of this.entries.values()) {
      if (!isStale(entry.index)) continue;
      entry.isStale = true;
      entry.failed = false;
      entry.request?.abort();
    }
    this.loadNext();
  }

  /** Call a function with every tile that is there. */
  each(visit: (tile: Tile) => void): void {
    for (const { tile } of this.entries.values()) if (tile !== null) visit(tile);
  }

  /** Drop all tiles and requests. */
  clear(): void {
    this.wanted = [];
    for (const entry of this.entries.values()) {
      entry.request?.abort();
      if (entry.tile !== null) this.options.onDrop?.(entry.tile);
    }
    this.entries.clear();
  }

  private entryOf(index: TileIndex): Entry<Tile> {
    const key = keyOf(index);
    let entry = this.entries.get(key);
    if (!entry) {
      entry = { index, tile: null, isStale: false, request: null, failed: false };
      this.entries.set(key, entry);
    }
    return entry;
  }

  private touch(entry: Entry<Tile>): void {
    const key = keyOf(entry.index);
    this.entries.delete(key);
    this.entries.set(key, entry);
  }

  private loadNext(): void {
    for (const index of this.wanted) {
      if (this.running >= AT_ONCE) return;
      const entry = this.entryOf(index);
      if (!entry.request && !entry.failed && (entry.tile === null || entry.isStale)) void this.load(entry);
    }
  }

  private async load(entry: Entry<Tile>): Promise<void> {
    const request = new AbortController();
    entry.request = request;
    entry.isStale = false;
    this.running++;
    try {
      const tile = await this.options.load(entry.index, request.signal);
      if (request.signal.aborted) this.options.onDrop?.(tile);
      else this.keep(entry, tile);
    } catch {
      entry.isStale = true;
      if (!request.signal.aborted) this.tryLater(entry);
    }
    if (request.signal.aborted) entry.isStale = true;
    if (entry.request === request) entry.request = null;
    this.running--;
    this.loadNext();
  }

  private tryLater(entry: Entry<Tile>): void {
    entry.failed = true;
    setTimeout(() => {
      entry.failed = false;
      this.loadNext();
    }, TRY_AGAIN_MS);
  }

  private keep(entry: Entry<Tile>, tile: Tile): void {
    if (this.entries.get(keyOf(entry.index)) !== entry) {
      this.options.onDrop?.(tile);
      return;
    }
    if (entry.tile !== null) this.options.onDrop?.(entry.tile);
    entry.tile = tile;
    entry.isStale = false;
    this.touch(entry);
    this.dropOldest();
    this.options.onTile(entry.index);
  }

  private dropOldest(): void {
    for (const [key, entry] of this.entries) {
      if (this.entries.size <= this.options.limit) return;
      if (entry.request) continue;
      if (entry.tile !== null) this.options.onDrop?.(entry.tile);
      this.entries.delete(key);
    }
  }
}
