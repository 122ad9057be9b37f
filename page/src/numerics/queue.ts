/** Queue of pixels by height: the highest goes first, and of equal ones the one that came first. */
export class PixelQueue {
  private readonly pixels: Int32Array;
  private readonly heights: Float64Array;
  private readonly arrivals: Int32Array;
  private size = 0;
  private arrived = 0;

  /** @param capacity Pixels that it holds at most. */
  constructor(capacity: number) {
    this.pixels = new Int32Array(capacity);
    this.heights = new Float64Array(capacity);
    this.arrivals = new Int32Array(capacity);
  }

  get length(): number {
    return this.size;
  }

  /** Height of the pixel that goes next. */
  get highest(): number {
    return this.heights[0];
  }

  push(pixel: number, height: number): void {
    const arrival = this.arrived++;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.heights[parent] >= height) break; // of equal ones the parent came first
      this.move(parent, at);
      at = parent;
    }
    this.set(at, pixel, height, arrival);
  }

  pop(): number {
    const first = this.pixels[0];
    const last = --this.size;
    const [pixel, height, arrival] = [this.pixels[last], this.heights[last], this.arrivals[last]];
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && this.isBefore(child + 1, this.heights[child], this.arrivals[child])) child++;
      if (!this.isBefore(child, height, arrival)) break;
      this.move(child, at);
      at = child;
    }
    this.set(at, pixel, height, arrival);
    return first;
  }

  private isBefore(at: number, height: number, arrival: number): boolean {
    const own = this.heights[at];
    return own > height || (own === height && this.arrivals[at] < arrival);
  }

  private move(from: number, to: number): void {
    this.set(to, this.pixels[from], this.heights[from], this.arrivals[from]);
  }

  private set(at: number, pixel: number, height: number, arrival: number): void {
    this.pixels[at] = pixel;
    this.heights[at] = height;
    this.arrivals[at] = arrival;
  }
}
