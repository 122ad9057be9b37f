/** The picture: the image, its labels, and what is pointed at. */

import OlMap from "ol/Map";
import type MapBrowserEvent from "ol/MapBrowserEvent";
import type { Coordinate } from "ol/coordinate";
import DragPan from "ol/interaction/DragPan";
import KeyboardPan from "ol/interaction/KeyboardPan";
import MouseWheelZoom from "ol/interaction/MouseWheelZoom";
import PinchZoom from "ol/interaction/PinchZoom";
import type { EditOutcome, ImageInfo, Point, Result } from "../backend";
import type { Session } from "../state/session";
import type { State } from "../state/state";
import type { Picture } from "../actions/corrections";
import { viewOf } from "./channels";
import { colourOfId, cssOf } from "./colours";
import { extentOf, placeOf, pointAt } from "./coordinates";
import { DrawingLayer, type Kind } from "./drawing_layer";
import { glideTime, positionOf, pyramidOf, viewFor } from "./image_view";
import { LabelTiles } from "./label_tiles";
import { labelStyle } from "./label_style";
import { OutlineLayer } from "./outline_layer";
import { PictureTiles } from "./picture_tiles";
import { ScaleBar } from "./scale_bar";
import { StrokeInteraction } from "./stroke_interaction";
import { TileLayer } from "./tile_layer";

const CONTRAST_MS = 120;
const HOVER_MS = 60;
const MARGIN = 24;

/** Share of the picture that a cell takes at most and at least, before the picture zooms to it. */
const COMFORTABLE = [1 / 40, 1 / 2] as const;

/** Share that it takes after that. */
const ZOOMED = 1 / 8;

export interface ViewerListener {
  onClick(point: Point): void;
  onStroke(stroke: Point[]): void;
}

export class Viewer implements Picture {
  readonly scaleBar = new ScaleBar();
  private readonly map: OlMap;
  private readonly outlines: OutlineLayer;
  private readonly drawing = new DrawingLayer();
  private readonly strokes: StrokeInteraction;
  private image: ImageInfo | null = null;
  private pictureTiles: PictureTiles | null = null;
  private labelTiles: LabelTiles | null = null;
  private labelLayer: TileLayer | null = null;
  private shown: Pick<Result, "id" | "version"> | null = null;
  private isInside = false;
  private isEditing = false;
  /** Where the picture was when all of the image was shown. */
  private fitted = "";
  private contrastTimer: number | undefined;
  private hoverTimer: number | undefined;

  constructor(
    private readonly session: Session,
    readonly target: HTMLElement,
    private readonly listener: ViewerListener,
  ) {
    this.outlines = new OutlineLayer(session);
    this.strokes = new StrokeInteraction({
      mayBegin: () => this.strokeKind() !== null,
      onDraw: (stroke) => this.draw(stroke),
      onEnd: (stroke) => this.endStroke(stroke),
    });
    this.map = new OlMap({
      target,
      controls: [],
      interactions: [new DragPan(), new MouseWheelZoom(), new PinchZoom(), new KeyboardPan(), this.strokes],
      layers: [this.outlines.layer, this.drawing.layer],
    });
    this.listenToPointer();
    this.map.on("postrender", () => this.showScale());
    this.map.on("change:size", () => this.refit());
    this.watch();
  }

  /** Point that keys act at: under the pointer, else in the middle of a picture that has the focus; null elsewhere. */
  get point(): Point | null {
    const { pointer } = this.session.store.state;
    if (this.isInside) return pointer && [pointer.row, pointer.column];
    const centre = this.map.getView().getCenter();
    return this.image && centre && document.activeElement === this.target ? pointAt(centre) : null;
  }

  async cellAt([row, column]: Point): Promise<number> {
    const [y, x] = [Math.round(row), Math.round(column)];
    if (!this.image || !this.labelTiles || y < 0 || x < 0 || y >= this.image.height || x >= this.image.width) return 0;
    return this.labelTiles.idAt(y, x);
  }

  hold(isEditing: boolean): void {
    this.isEditing = isEditing;
    window.clearTimeout(this.hoverTimer);
    void this.outlines.show("hovered", null);
  }

  reload({ result, box }: EditOutcome): void {
    this.shown = { id: result.id, version: result.version };
    this.labelTiles?.update(result, box ?? "nothing");
    this.map.render();
  }

  markFirst(point: Point | null): void {
    this.drawing.markFirst(point ? placeOf(point) : null);
  }

  goTo(cell: number): void {
    void this.outlines.outlineOf(cell).then((outline) => {
      if (outline) this.glideTo(outline.box);
    });
  }

  /** Show all of the image. */
  fit(): void {
    if (!this.image) return;
    const size = this.map.getSize() ?? [0, 0];
    const margin = Math.min(MARGIN, size[0] / 20);
    const view = this.map.getView();
    view.fit(extentOf([0, 0, this.image.height, this.image.width]), { padding: [margin, margin, margin, margin] });
    this.fitted = positionOf(view);
  }

  /** Show all of the image again where nobody has moved it since. */
  private refit(): void {
    if (this.fitted === positionOf(this.map.getView())) this.fit();
  }

  /** Zoom in by a factor above 1, or out. */
  zoom(factor: number): void {
    const view = this.map.getView();
    const resolution = view.getResolution();
    if (resolution !== undefined) view.animate({ resolution: resolution / factor, duration: glideTime() });
  }

  /** Give up what is being drawn. */
  giveUp(): void {
    this.strokes.giveUp();
  }

  private watch(): void {
    const { store } = this.session;
    store.watch(["image"], (state) => this.showImage(state.image));
    store.watch(["channels"], (state) => this.showChannels(state));
    store.watch(["result"], (state) => this.showResult(state));
    store.watch(["labels", "table", "filter"], () => this.paint());
    store.watch(["selected", "result"], (state) => void this.outlines.show("selected", state.selected));
    store.watch(["mode", "tool", "brush"], (state) => {
      this.target.dataset.mode = state.mode;
      if (state.mode !== "paint") this.drawing.showBrush(null, state.brush);
    });
  }

  private showImage(image: ImageInfo | null): void {
    this.pictureTiles?.clear();
    this.dropLabels();
    this.drawing.clear();
    this.image = image;
    this.pictureTiles = null;
    if (!image) {
      this.map.setLayers([this.outlines.layer, this.drawing.layer]);
      return;
    }
    this.pictureTiles = new PictureTiles(this.session.backend, image, viewOf(this.session.store.state.channels), () =>
      this.map.render(),
    );
    const layer = new TileLayer(pyramidOf(image), this.pictureTiles);
    layer.setZIndex(1);
    this.map.setLayers([layer, this.outlines.layer, this.drawing.layer]);
    this.map.setView(viewFor(image));
    this.fit();
  }

  private showChannels(state: Readonly<State>): void {
    window.clearTimeout(this.contrastTimer);
    const tiles = this.pictureTiles;
    this.contrastTimer = window.setTimeout(() => {
      tiles?.show(viewOf(state.channels));
      this.map.render();
    }, CONTRAST_MS);
  }

  private showResult({ result }: Readonly<State>): void {
    if (!result || result.id !== this.shown?.id) this.dropLabels();
    if (!result || !this.image) return;
    if (this.labelTiles) {
      if (result.version !== this.shown?.version) this.labelTiles.update(result, "all");
    } else {
      const pyramid = pyramidOf(this.image);
      const style = labelStyle(this.session.store.state);
      this.labelTiles = new LabelTiles(this.session.backend, result, pyramid, style, () => this.map.render());
      this.labelLayer = new TileLayer(pyramid, this.labelTiles);
      this.labelLayer.setZIndex(2);
      this.map.addLayer(this.labelLayer);
    }
    this.shown = { id: result.id, version: result.version };
    this.paint();
  }

  private dropLabels(): void {
    if (this.labelLayer) this.map.removeLayer(this.labelLayer);
    this.labelTiles?.clear();
    [this.labelLayer, this.labelTiles, this.shown] = [null, null, null];
    void this.outlines.show("hovered", null);
  }

  private paint(): void {
    const { state } = this.session.store;
    this.labelTiles?.paintAs(labelStyle(state), state.labels.shape === "hidden");
    this.labelLayer?.setOpacity(state.labels.opacity);
    this.map.render();
  }

  private listenToPointer(): void {
    this.map.on("pointermove", (event) => this.follow(event as MapBrowserEvent<PointerEvent>));
    this.map.on("click", (event) => {
      if (this.image && this.strokeKind() === null) this.listener.onClick(pointAt(event.coordinate));
    });
    this.target.addEventListener("pointerenter", () => (this.isInside = true));
    this.target.addEventListener("pointerleave", () => {
      this.isInside = false;
      this.session.store.set({ pointer: null });
      this.drawing.showBrush(null, 1);
      void this.outlines.show("hovered", null);
    });
  }

  private follow(event: MapBrowserEvent<PointerEvent>): void {
    this.isInside = true;
    const { store } = this.session;
    const [row, column] = pointAt(event.coordinate);
    if (store.state.mode === "paint") this.drawing.showBrush(event.coordinate, store.state.brush);
    if (
      !this.image ||
      row < -0.5 ||
      column < -0.5 ||
      row > this.image.height - 0.5 ||
      column > this.image.width - 0.5
    ) {
      store.set({ pointer: null });
      return;
    }
    const cell = this.labelTiles?.shownAt(Math.round(row), Math.round(column)) ?? null;
    store.set({ pointer: { row, column, cell } });
    window.clearTimeout(this.hoverTimer);
    if (this.isEditing) return;
    this.hoverTimer = window.setTimeout(
      () => void this.outlines.show("hovered", event.dragging ? null : cell || null),
      HOVER_MS,
    );
  }

  /** Return what a stroke draws now; null where the pointer moves the picture or clicks. */
  private strokeKind(): Kind | null {
    const { mode, tool, result } = this.session.store.state;
    if (!result?.editable) return null;
    if (mode === "paint") return "brush";
    return (mode === "add" || mode === "split") && tool !== "click" ? tool : null;
  }

  private draw(stroke: Coordinate[]): void {
    const kind = this.strokeKind();
    const { brush, isErasing, paintTarget, selected } = this.session.store.state;
    const cell = typeof paintTarget === "object" ? paintTarget.cell : (selected ?? 0);
    if (kind) this.drawing.show(kind, stroke, brush, isErasing ? "#000000" : cssOf(colourOfId(cell)));
  }

  private endStroke(stroke: Coordinate[] | null): void {
    this.drawing.clear();
    if (stroke) this.listener.onStroke(stroke.map(pointAt));
  }

  private glideTo(box: readonly [number, number, number, number]): void {
    const view = this.map.getView();
    const [width, height] = this.map.getSize() ?? [1, 1];
    const extent = extentOf(box);
    const share =
      Math.max((extent[2] - extent[0]) / width, (extent[3] - extent[1]) / height) / (view.getResolution() ?? 1);
    const center = [(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2];
    const resolution =
      share < COMFORTABLE[0] || share > COMFORTABLE[1] ? ((view.getResolution() ?? 1) * share) / ZOOMED : undefined;
    view.animate({ center, resolution, duration: glideTime() });
  }

  private showScale(): void {
    const resolution = this.map.getView().getResolution();
    this.scaleBar.root.hidden = !this.image;
    if (this.image && resolution) this.scaleBar.show(resolution, this.image.pixel_size_um?.[1] ?? null);
  }
}
