/** Outlines of single cells: the one under the pointer, and the one that is chosen. */

import Feature from "ol/Feature";
import MultiPolygon from "ol/geom/MultiPolygon";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import type { Outline } from "../backend";
import type { Session } from "../state/session";
import { placeOf } from "./coordinates";

export type Role = "hovered" | "selected";

const KEPT = 200;
const UNDER = new Stroke({ color: "rgba(0, 0, 0, 0.75)", width: 5 });
const STYLES: Record<Role, Style[]> = {
  hovered: [new Style({ stroke: new Stroke({ color: "#ffffff", width: 1.5 }) })],
  selected: [new Style({ stroke: UNDER }), new Style({ stroke: new Stroke({ color: "#ffffff", width: 2.5 }) })],
};

export class OutlineLayer {
  private readonly source = new VectorSource();
  readonly layer = new VectorLayer({ source: this.source, zIndex: 3 });
  private readonly features: Record<Role, Feature>;
  private readonly shown: Record<Role, number | null> = { hovered: null, selected: null };
  private readonly known = new Map<string, Outline>();

  constructor(private readonly session: Session) {
    const feature = (role: Role) => {
      const made = new Feature();
      made.setStyle(STYLES[role]);
      this.source.addFeature(made);
      return made;
    };
    this.features = { hovered: feature("hovered"), selected: feature("selected") };
  }

  /** Draw the outline of a cell; none where null. */
  async show(role: Role, cell: number | null): Promise<void> {
    this.shown[role] = cell;
    if (cell === null) {
      this.features[role].setGeometry(undefined);
      return;
    }
    const outline = await this.outlineOf(cell);
    if (this.shown[role] !== cell) return;
    this.features[role].setGeometry(
      outline ? new MultiPolygon(outline.parts.map((rings) => rings.map((ring) => ring.map(placeOf)))) : undefined,
    );
  }

  /** Return the outline of a cell of the shown result; null where there is no such cell now. */
  async outlineOf(cell: number): Promise<Outline | null> {
    const { result } = this.session.store.state;
    if (!result) return null;
    const key = `${result.id} ${result.version} ${cell}`;
    const known = this.known.get(key);
    if (known) return known;
    try {
      const outline = await this.session.backend.outline(result.id, cell);
      this.known.set(key, outline);
      for (const old of this.known.keys()) if (this.known.size > KEPT) this.known.delete(old);
      return outline;
    } catch {
      return null; // An edit has removed it meanwhile: there is nothing to draw.
    }
  }
}
