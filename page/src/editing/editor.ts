/** A label image that is corrected, with undo and redo without limit. */
import type { Edit } from "../backend";
import { maxId, renumber } from "../numerics/labels";
import type { DistanceMap, Labels } from "../numerics/plane";
import { editLine, startLine, stepLine } from "./journal";
import { perform } from "./operations";
import { Scene, type Outcome } from "./scene";

/** Labels that are corrected by hand: a call an edit, and every edit can be undone. Ids may get gaps. */
export class LabelEditor {
  /** The present labels, which edits change. */
  readonly labels: Labels;
  private readonly start: Labels;
  private readonly lines: string[] = [];
  private readonly done: Outcome[] = [];
  private undone: Outcome[] = [];
  private nextId: number;

  constructor(
    labels: Labels,
    private readonly map: DistanceMap | null,
  ) {
    this.start = { ...labels, data: labels.data.slice() };
    this.labels = { ...labels, data: labels.data.slice() };
    this.nextId = maxId(labels) + 1;
  }

  /** Number of edits that hold. */
  get edits(): number {
    return this.done.length;
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  /** Make an edit; raises, and changes nothing, where it cannot be made. */
  make(asked: Edit): Outcome {
    const edit = asked.edit === "paint" && asked.id === null ? { ...asked, id: this.nextId } : asked;
    const outcome = perform(new Scene(this.labels, this.nextId, this.map), edit);
    this.lines.push(editLine(edit, outcome));
    outcome.change.apply(this.labels);
    this.done.push(outcome);
    this.undone = [];
    this.nextId = Math.max(this.nextId, maxId(outcome.change.after) + 1);
    return outcome;
  }

  /** Undo the last edit that holds; null where there is none. */
  undo(): Outcome | null {
    const edit = this.done.pop();
    if (!edit) return null;
    this.lines.push(stepLine("undo"));
    edit.change.inverse().apply(this.labels);
    this.undone.push(edit);
    return edit;
  }

  /** Repeat the last edit that was undone; null where there is none. */
  redo(): Outcome | null {
    const edit = this.undone.pop();
    if (!edit) return null;
    this.lines.push(stepLine("redo"));
    edit.change.apply(this.labels);
    this.done.push(edit);
    return edit;
  }

  /** Return the lines of the file of edits, as `dinocell edit` reads it. */
  journal(version: string): string[] {
    return [startLine(this.start, version), ...this.lines];
  }

  /** Return the line of what was done last. */
  get lastLine(): string {
    return this.lines[this.lines.length - 1];
  }

  /** Return the labels before the first edit. */
  original(): Labels {
    return this.start;
  }

  /** Return the present labels with ids 1…N without gaps. */
  exported(): Labels {
    return renumber(this.labels, 1);
  }
}
