/** What is being drawn: a stroke of the brush, a box, an outline, a line, and the first point of two. */

import type { Coordinate } from "ol/coordinate";
import { boundingExtent } from "ol/extent";
import Feature from "ol/Feature";
import type Geometry from "ol/geom/Geometry";
import LineString from "ol/geom/LineString";
import Point from "ol/geom/Point";
import Polygon, { fromExtent } from "ol/geom/Polygon";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import Circle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";

export type Kind = "brush" | "box" | "outline" | "line";

const ACCENT = "#ffd166";
const LINE = [
  new Style({ stroke: new Stroke({ color: "rgba(0, 0, 0, 0.7)", width: 4 }) }),
  new Style({
    stroke: new Stroke({ color: ACCENT, width: 2 }),
    fill: new Fill({ color: "rgba(255, 209, 102, 0.18)" }),
  }),
];
const FIRST = new Style({
  image: new Circle({ radius: 6, fill: new Fill({ color: ACCENT }), stroke: new Stroke({ color: "#000", width: 2 }) }),
});

export class DrawingLayer {
  private readonly source = new VectorSource();
  readonly layer = new VectorLayer({
    source: this.source,
    zIndex: 4,
    updateWhileInteracting: true,
    updateWhileAnimating: true,
  });
  private readonly stroke = new Feature();
  private readonly first = new Feature();
  private readonly brush = new Feature();

  constructor() {
    this.first.setStyle(FIRST);
    this.source.addFeatures([this.stroke, this.first, this.brush]);
  }

  /** Draw a stroke as what it is going to be. */
  show(kind: Kind, stroke: Coordinate[], brush: number, colour: string): void {
    this.stroke.setGeometry(geometryOf(kind, stroke));
    this.stroke.setStyle(kind === "brush" ? brushStyle(brush, colour) : LINE);
  }

  /** Draw nothing that is under way. */
  clear(): void {
    this.stroke.setGeometry(undefined);
  }

  /** Mark the first point of two; none where null. */
  markFirst(place: Coordinate | null): void {
    this.first.setGeometry(place ? new Point(place) : undefined);
  }

  /** Show how large the brush is; nothing where null. */
  showBrush(place: Coordinate | null, brush: number): void {
    this.brush.setGeometry(place ? new Point(place) : undefined);
    this.brush.setStyle((_, resolution) => ringStyle(brush / resolution / 2));
  }
}

function geometryOf(kind: Kind, stroke: Coordinate[]): Geometry {
  if (kind === "box") return fromExtent(boundingExtent(stroke));
  if (kind === "outline") return new Polygon([[...stroke, stroke[0]]]);
  return new LineString(stroke.length > 1 ? stroke : [stroke[0], stroke[0]]);
}

/** Return a style as wide as the brush at every zoom. */
function brushStyle(brush: number, colour: string): (feature: unknown, resolution: number) => Style {
  return (_, resolution) =>
    new Style({
      stroke: new Stroke({
        color: `${colour}b0`,
        width: Math.max(brush / resolution, 1),
        lineCap: "round",
        lineJoin: "round",
      }),
    });
}

function ringStyle(radius: number): Style[] {
  const ring = (color: string, width: number) =>
    new Style({ image: new Circle({ radius, stroke: new Stroke({ color, width }) }) });
  return [ring("rgba(0, 0, 0, 0.7)", 3), ring("#ffffff", 1)];
}
