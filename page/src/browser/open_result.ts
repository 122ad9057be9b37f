/** A result that is open in the browser: its labels as they are corrected, and its map. */
import type { CellTable, Edit, EditOutcome, Outline, Result, Thresholds } from "../backend";
import { LabelEditor } from "../editing/editor";
import { maskOf, type Outcome } from "../editing/scene";
import { measureCells } from "../measuring/cells";
import { cellConfidence } from "../measuring/confidence";
import { cellPolygons } from "../measuring/outlines";
import { InputError } from "../numerics/errors";
import { cellIds, renumber, windowOf } from "../numerics/labels";
import { settingsOf, type ModelConfig } from "../numerics/model";
import { findCells, type Segmentation } from "../numerics/pipeline";
import { cut, type DistanceMap, type Labels } from "../numerics/plane";
import type { Settings } from "../numerics/settings";
import { replaced } from "../numerics/thresholds";
import { asPoints, FORMAT_LIST, type Written } from "./files";
import type { OpenImage } from "./open_image";

/** What a result was made of. */
export interface Made {
  id: string;
  job: string;
  image: OpenImage;
  config: ModelConfig;
  settings: Settings;
  /** What the network ran in, in words. */
  engine: string;
  found: Segmentation;
}

export class OpenResult {
  private editor: LabelEditor;
  private thresholds: Thresholds;
  private version = 1;
  private checked = new Set<number>();
  private allChecked = false;
  private readonly map: DistanceMap;
  /** About the cells as they were cut last. */
  private doubts: string[];
  private table: { version: number; cells: CellTable } | null = null;

  constructor(private readonly made: Made) {
    const { found, config } = made;
    this.map = found.map;
    this.thresholds = found.thresholds;
    this.editor = new LabelEditor(found.labels, this.map);
    this.doubts = doubtsOf(found, config);
  }

  get id(): string {
    return this.made.id;
  }

  get image(): OpenImage {
    return this.made.image;
  }

  /** The labels as they are now. */
  get labels(): Labels {
    return this.editor.labels;
  }

  describe(): Result {
    const { made, editor } = this;
    return {
      id: made.id,
      image: made.image.info.id,
      job: made.job,
      model: made.config.variant,
      target: made.found.target,
      count: this.ids().length,
      width: editor.labels.width,
      height: editor.labels.height,
      thresholds: this.thresholds,
      own_thresholds: settingsOf(made.config, made.found.target).thresholds,
      adjustable: true,
      editable: true,
      warnings: [...made.found.warnings, ...this.doubts],
      edits: editor.edits,
      can_undo: editor.canUndo,
      can_redo: editor.canRedo,
      checked: [...this.checked].sort((a, b) => a - b),
      all_checked: this.allChecked,
      version: this.version,
      formats: FORMAT_LIST,
    };
  }

  /** Flood again from the map; refused where there are edits, unless they may go. */
  flood(given: Partial<Thresholds>, discard: boolean): Result {
    const count = this.editor.edits;
    if (count && !discard) {
      throw new InputError(
        `${count} edit${count > 1 ? "s" : ""} would be lost, expected none: undo them, or say that they may go`,
      );
    }
    const { settings, found, config } = this.made;
    this.thresholds = replaced(this.thresholds, given);
    const again = findCells(this.map, this.thresholds, settings, found.target);
    this.editor = new LabelEditor(again.labels, this.map);
    this.doubts = doubtsOf({ ...again, map: this.map }, config);
    this.version++;
    this.checked.clear();
    this.allChecked = false;
    return this.describe();
  }

  edit(edit: Edit): EditOutcome {
    return this.keep(this.editor.make(edit));
  }

  undo(): EditOutcome {
    return this.keep(this.editor.undo());
  }

  redo(): EditOutcome {
    return this.keep(this.editor.redo());
  }

  /** Note cells as looked at, or all of them. */
  check(cells: number[], all: boolean): Result {
    const there = new Set(this.ids());
    const unknown = cells.find((cell) => !there.has(cell));
    if (unknown !== undefined) throw new InputError(`cells has ${unknown}, expected ids of cells of the image`);
    for (const cell of cells) this.checked.add(cell);
    this.allChecked ||= all;
    return this.describe();
  }

  /** Measure the cells; `id` is that of the labels as they are shown. */
  cells(): CellTable {
    if (this.table?.version !== this.version) {
      const { label, confidence, ...measured } = this.measure().columns;
      const cells = { columns: { id: this.ids().slice(0, label.length), confidence, ...measured } };
      this.table = { version: this.version, cells };
    }
    return this.table.cells;
  }

  outline(cell: number): Outline {
    const labels = this.editor.labels;
    const box = cell > 0 ? windowOf(labels, [cell]) : null;
    if (!box) throw new InputError(`cell ${cell} is not there, expected the id of one`);
    const mask = maskOf(cut(labels, box), (id) => id === cell);
    const polygons = cellPolygons({ ...mask, data: new Int32Array(mask.data) }).get(1) ?? [];
    const moved = polygons.map((polygon) => {
      return polygon.map((ring) => ring.map(([x, y]): [number, number] => [x + box.left, y + box.top]));
    });
    return { id: cell, parts: moved.map(asPoints), box: [box.top, box.left, box.bottom, box.right] };
  }

  /** Return all that is written about the result; ids are 1…N without gaps. */
  written(): Written {
    const { config, found, image, engine } = this.made;
    const provenance = {
      dinocell: config.dinocell,
      model: { name: config.variant, trained: true },
      preprocessing: config.preprocessing,
      thresholds: this.thresholds,
      target_found: found.target,
      scale: found.scale,
      engine,
      source: { name: image.info.name },
      ...(this.editor.edits ? { edits: this.editor.edits } : {}),
    };
    return {
      labels: this.editor.exported(),
      table: this.measure(),
      pixelSize: image.info.pixel_size_um,
      provenance,
      journal: this.editor.journal(config.dinocell),
    };
  }

  private measure(): CellTable {
    const labels = renumber(this.editor.labels, 1);
    return measureCells(labels, {
      channels: this.image.measured(),
      pixelSize: this.image.pixelEdge,
      confidence: cellConfidence(labels, this.map, this.made.config.confidence),
    });
  }

  private ids(): number[] {
    return cellIds(this.editor.labels);
  }

  /** Describe the result after an edit, an undo or a redo; whoever made a cell has looked at it. */
  private keep(outcome: Outcome | null): EditOutcome {
    if (!outcome) return { result: this.describe(), ids: [], notes: [], box: null };
    this.version++;
    const there = new Set(this.ids());
    this.checked = new Set([...this.checked, ...outcome.ids].filter((id) => there.has(id)));
    const { top, left, bottom, right } = outcome.change.window;
    return {
      result: this.describe(),
      ids: outcome.ids.filter((id) => there.has(id)),
      notes: outcome.notes,
      box: outcome.change.isEmpty ? null : [top, left, bottom, right],
    };
  }
}

type Cut = Pick<Segmentation, "labels" | "map" | "removed" | "minSize">;

/** Return words on removed cells and on a low confidence. */
function doubtsOf({ labels, map, removed, minSize }: Cut, config: ModelConfig): string[] {
  const doubts = removed ? [`${removed} object${removed === 1 ? "" : "s"} under ${minSize} px removed`] : [];
  const sure = cellConfidence(labels, map, config.confidence);
  const mean = sure.reduce((sum, value) => sum + value, 0) / sure.length;
  if (mean < config.confidence.low_mean) doubts.push(`low confidence (mean ${mean.toFixed(2)})`);
  return doubts;
}
