/** Strokes that are drawn with one finger, pen or the main button of the mouse; a second finger zooms instead. */

import type { Coordinate } from "ol/coordinate";
import type MapBrowserEvent from "ol/MapBrowserEvent";
import PointerInteraction from "ol/interaction/Pointer";

export interface StrokeListener {
  /** Whether a stroke may begin now; otherwise the pointer moves the picture. */
  mayBegin(): boolean;
  /** Called while a stroke is drawn. */
  onDraw(stroke: Coordinate[]): void;
  /** Called at its end; null where it was given up. */
  onEnd(stroke: Coordinate[] | null): void;
}

export class StrokeInteraction extends PointerInteraction {
  private stroke: Coordinate[] = [];

  constructor(private readonly listener: StrokeListener) {
    super();
  }

  override handleDownEvent(event: MapBrowserEvent<PointerEvent>): boolean {
    if (!this.listener.mayBegin() || event.originalEvent.button !== 0 || this.targetPointers.length > 1) return false;
    this.stroke = [event.coordinate];
    this.listener.onDraw(this.stroke);
    return true;
  }

  override handleDragEvent(event: MapBrowserEvent<PointerEvent>): void {
    if (this.targetPointers.length > 1) this.giveUp();
    if (!this.stroke.length) return;
    this.stroke.push(event.coordinate);
    this.listener.onDraw(this.stroke);
  }

  override handleUpEvent(): boolean {
    if (this.targetPointers.length) this.giveUp();
    const { stroke } = this;
    if (stroke.length) this.listener.onEnd(stroke);
    this.stroke = [];
    return false;
  }

  /** Give up the stroke that is being drawn. */
  giveUp(): void {
    if (!this.stroke.length) return;
    this.stroke = [];
    this.listener.onEnd(null);
  }
}
