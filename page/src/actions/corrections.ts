/** Corrections: edits, undo and redo, cells that are right. */

import type { Edit, EditOutcome, Point } from "../backend";
import { Gestures, type PointKey } from "../correct/gestures";
import { type Run, runsOf } from "../correct/strokes";
import { attempt, say, type Session } from "../state/session";
import type { Mode, Tool } from "../state/state";
import { keepResult } from "./results";

/** What the picture is asked, and told. */
export interface Picture {
  /** Return the id at a point; 0 where there is no cell. */
  cellAt(point: Point): Promise<number>;
  /** Point at nothing while an edit is under way: cells may be gone after it. */
  hold(isEditing: boolean): void;
  /** Load again what an edit changed. */
  reload(outcome: EditOutcome): void;
  /** Show a first point that waits for its second; null where none does. */
  markFirst(point: Point | null): void;
  /** Bring a cell into the middle. */
  goTo(cell: number): void;
}

/** Modes in which a click does what a key does. */
export const MODE_OF: Record<PointKey, Mode> = { A: "add", S: "split", M: "merge", D: "delete" };

const HINTS: Record<Exclude<Mode, "move">, string> = {
  add: "Click a cell that was missed",
  split: "Click in one half of a cell, then in the other",
  merge: "Click a cell, then the one that belongs to it",
  delete: "Click a cell to delete it",
  paint: "Draw: a stroke that begins in a cell enlarges it, another one is a new cell",
};

const TOOL_HINTS: Partial<Record<Tool, string>> = {
  box: "Draw a box around a cell that was missed",
  outline: "Draw the outline of a cell that was missed",
  line: "Draw a line across a cell, from side to side",
};

export class Corrections {
  private readonly gestures = new Gestures();
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly session: Session,
    private readonly picture: Picture,
  ) {}

  /** Begin a mode, in which a click or stroke acts; "move" ends it. */
  setMode(mode: Mode, tool: Tool = "click"): void {
    this.forgetFirst();
    this.session.store.set({ mode, tool, paintTarget: "under", isErasing: false });
    say(this.session, mode === "move" ? "" : (TOOL_HINTS[tool] ?? HINTS[mode]));
  }

  /** Do what a key means at a point, as in napari. */
  async press(key: PointKey, point: Point): Promise<void> {
    if (!this.mayEdit()) return;
    await attempt(this.session, async () => {
      const cell = await this.picture.cellAt(point);
      const { edit, said } = this.gestures.press(key, cell, point);
      this.picture.markFirst(this.gestures.first);
      if (edit) await this.edit(edit, said);
      else say(this.session, said);
    });
    this.picture.markFirst(this.gestures.first);
  }

  /** Begin to paint the cell at a point, or a new one; or end that. */
  async togglePaint(point: Point | null): Promise<void> {
    if (this.session.store.state.mode === "paint") {
      this.setMode("move");
      return;
    }
    if (!this.mayEdit()) return;
    const cell = point ? await this.picture.cellAt(point) : 0;
    this.setMode("paint");
    if (!point) return;
    this.session.store.set({ paintTarget: cell > 0 ? { cell } : "new" });
    say(this.session, `Painting ${cell > 0 ? `cell ${cell}` : "a new cell"}; E ends it`);
  }

  /** Do what a stroke means in the mode and with the tool that are chosen. */
  async finishStroke(stroke: Point[]): Promise<void> {
    const { mode, tool, image, brush } = this.session.store.state;
    if (!image || !this.mayEdit()) return;
    if (mode === "paint") await this.paint(stroke, runsOf(stroke, brush, image.width, image.height));
    else if (tool === "line") await this.edit({ edit: "split", line: stroke }, "Split along the line");
    else if (tool === "box") await this.edit({ edit: "add", box: boxOf(stroke) }, "Added");
    else if (tool === "outline") await this.edit({ edit: "add", outline: stroke }, "Added");
  }

  /** Undo the last edit, or redo the one that was undone. */
  async step(way: "undo" | "redo"): Promise<void> {
    const { result } = this.session.store.state;
    if (!result) return;
    if (way === "undo" ? !result.can_undo : !result.can_redo) {
      say(this.session, `There is nothing to ${way}.`);
      return;
    }
    await this.inTurn(async () => {
      const outcome = await this.session.backend[way](result.id);
      return this.takeIn({ ...outcome, ids: [] }, way === "undo" ? "Undone" : "Redone");
    });
  }

  /** Note the cell that was shown as right, and show the least certain one that is left. */
  async next(): Promise<void> {
    const { result, underReview } = this.session.store.state;
    if (!result || !this.mayEdit()) return;
    if (underReview !== null && !result.checked.includes(underReview)) {
      const checked = await attempt(this.session, () => this.session.backend.check(result.id, [underReview]));
      if (!checked) return;
      keepResult(this.session, checked);
    }
    this.showLeastCertain();
  }

  /** Note that no cell is missing and every one is right, or take that back. */
  async checkAll(isRight: boolean): Promise<void> {
    const { result } = this.session.store.state;
    if (!result) return;
    const checked = await attempt(this.session, () => this.session.backend.check(result.id, [], isRight));
    if (!checked) return;
    keepResult(this.session, checked);
    say(
      this.session,
      isRight ? "All of it counts as checked, the background, too" : "Cells count as checked one by one again",
    );
  }

  private showLeastCertain(): void {
    const { result, table } = this.session.store.state;
    if (!result || !table) return;
    const { id: ids = [], confidence } = table.columns;
    const checked = new Set(result.checked);
    let least: number | null = null;
    ids.forEach((id, row) => {
      if (checked.has(Number(id))) return;
      if (least === null || (confidence && sureness(confidence[row]) < sureness(confidence[least]))) least = row;
    });
    if (least === null) {
      this.session.store.set({ underReview: null });
      say(this.session, "All cells are checked.");
      return;
    }
    const cell = Number(ids[least]);
    this.session.store.set({ underReview: cell, selected: cell });
    this.picture.goTo(cell);
    const sure = confidence?.[least];
    say(
      this.session,
      `Cell ${cell}${typeof sure === "number" ? `, confidence ${sure.toFixed(2)}` : ""}. N if it is right`,
    );
  }

  private async paint(stroke: Point[], mask: Run[]): Promise<void> {
    const { paintTarget, isErasing } = this.session.store.state;
    if (!mask.length) return;
    const outcome = await this.inTurn(async () => {
      const under = paintTarget === "under" && !isErasing ? await this.picture.cellAt(stroke[0]) : 0;
      const cell = typeof paintTarget === "object" ? paintTarget.cell : under > 0 ? under : null;
      return this.send({ edit: "paint", id: isErasing ? 0 : cell, mask }, isErasing ? "Erased" : "Painted");
    });
    if (outcome && paintTarget === "new" && outcome.ids.length) {
      this.session.store.set({ paintTarget: { cell: outcome.ids[0] } });
    }
  }

  private edit(edit: Edit, said: string): Promise<EditOutcome | undefined> {
    return this.inTurn(() => this.send(edit, said));
  }

  private async send(edit: Edit, said: string): Promise<EditOutcome> {
    const { result } = this.session.store.state;
    if (!result) throw new Error("There is no result to edit");
    const outcome = await this.session.backend.edit(result.id, edit);
    return this.takeIn(outcome, edit.edit === "add" && outcome.ids.length ? `${said} cell ${outcome.ids[0]}` : said);
  }

  private takeIn(outcome: EditOutcome, said: string): EditOutcome {
    const { selected } = this.session.store.state;
    this.session.store.set({
      selected: outcome.box && !outcome.ids.includes(selected ?? 0) ? null : selected,
      underReview: null,
    });
    this.picture.reload(outcome); // before the result: it knows which part changed, the new version alone does not
    keepResult(this.session, outcome.result);
    if (outcome.ids.length) this.session.store.set({ selected: outcome.ids[0] });
    say(this.session, [said, ...outcome.notes].join(". "));
    return outcome;
  }

  /** Do edits one after the other: each begins from the labels that the one before left. */
  private inTurn<Value>(action: () => Promise<Value>): Promise<Value | undefined> {
    const turn = this.last.then(async () => {
      this.picture.hold(true);
      const made = await attempt(this.session, action);
      this.picture.hold(false);
      return made;
    });
    this.last = turn;
    return turn;
  }

  private mayEdit(): boolean {
    const { result } = this.session.store.state;
    if (result?.editable) return true;
    say(
      this.session,
      result ? "This result cannot be corrected here: it is too large." : "Segment an image first.",
      true,
    );
    return false;
  }

  private forgetFirst(): void {
    this.gestures.reset();
    this.picture.markFirst(null);
  }
}

/** Return corners of the smallest box around a stroke. */
function boxOf(stroke: Point[]): [Point, Point] {
  const [rows, columns] = [stroke.map(([row]) => row), stroke.map(([, column]) => column)];
  return [
    [Math.min(...rows), Math.min(...columns)],
    [Math.max(...rows), Math.max(...columns)],
  ];
}

/** Return a confidence for sorting; cells without one come first. */
function sureness(confidence: unknown): number {
  return typeof confidence === "number" ? confidence : -1;
}
