/** Results: which is shown, its table, its thresholds. */

import type { Result, Thresholds } from "../backend";
import { askFirst } from "../elements/dialogs";
import { attempt, say, type Session } from "../state/session";
import { counted } from "../table/numbers";

const TABLE_MS = 300;
let tableTimer: number | undefined;

/** Return the results of an image, newest first. */
export function resultsOf(session: Session, image: string | undefined): Result[] {
  return session.store.state.results.filter((result) => result.image === image);
}

/** Show a result, or none. */
export function showResult(session: Session, result: Result | null): void {
  const isOther = session.store.state.result?.id !== result?.id;
  session.store.set({ result, ...(isOther ? { table: null, selected: null, underReview: null, mode: "move" } : {}) });
  if (result && (isOther || !session.store.state.table)) void loadTable(session);
}

/** Take in a result that is new or has changed. */
export function keepResult(session: Session, result: Result): void {
  const { results, result: shown } = session.store.state;
  const isKnown = results.some(({ id }) => id === result.id);
  session.store.set({
    results: isKnown ? results.map((other) => (other.id === result.id ? result : other)) : [result, ...results],
  });
  if (shown?.id !== result.id) return;
  session.store.set({ result });
  if (shown.version !== result.version) loadTableSoon(session);
}

/** Measure the cells again, once nothing has changed for a moment. */
function loadTableSoon(session: Session): void {
  window.clearTimeout(tableTimer);
  tableTimer = window.setTimeout(() => void loadTable(session), TABLE_MS);
}

async function loadTable(session: Session): Promise<void> {
  const { result } = session.store.state;
  if (!result) return;
  const table = await attempt(session, () => session.backend.cells(result.id));
  const now = session.store.state.result;
  if (table && now?.id === result.id && now.version === result.version) session.store.set({ table });
}

let isFlooding = false;
let next: Partial<Thresholds> | null = null;

/** Flood again; while that runs, only the last thresholds that were asked for wait. */
export async function flood(session: Session, thresholds: Partial<Thresholds>): Promise<void> {
  const { result } = session.store.state;
  if (!result) return;
  if (isFlooding) {
    next = thresholds;
    return;
  }
  isFlooding = true;
  await floodOnce(session, result, thresholds);
  isFlooding = false;
  const waiting = next;
  next = null;
  if (waiting) await flood(session, waiting);
}

async function floodOnce(session: Session, result: Result, thresholds: Partial<Thresholds>): Promise<void> {
  const discard = result.edits > 0 || result.checked.length > 0;
  if (discard && !(await mayDiscard(result))) {
    session.store.set({ result: { ...result } });
    return;
  }
  const flooded = await attempt(session, () => session.backend.flood(result.id, thresholds, discard));
  if (!flooded) {
    session.store.set({ result: { ...result } });
    return;
  }
  keepResult(session, flooded);
  session.store.set({ selected: null, underReview: null });
  say(session, counted(flooded.count, "cell"));
}

function mayDiscard(result: Result): Promise<boolean> {
  return askFirst({
    title: "Forget your corrections?",
    text: `Other thresholds make the cells anew: ${counted(result.edits, "edit")} and ${counted(result.checked.length, "checked cell")} would be lost.`,
    yes: "Forget them",
    no: "Keep them",
  });
}

/** Return words on a result: how many cells, and the backend's warnings. */
export function describe(result: Result): string {
  const noun =
    result.target === "nuclei"
      ? `${result.count === 1 ? "nucleus" : "nuclei"}`
      : `cell${result.count === 1 ? "" : "s"}`;
  return [`${result.count.toLocaleString("en")} ${noun}`, ...result.warnings].join(". ");
}
