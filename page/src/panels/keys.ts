/** Keys of the page, with their meanings. */

export interface Key {
  /** Keys that are pressed together, or one of each: see `joint`. */
  parts: readonly string[];
  joint: "+" | " and ";
  meaning: string;
}

const key = (name: string, meaning: string): Key => ({
  parts: name === "+" ? [name] : name.split("+"),
  joint: "+",
  meaning,
});
const either = (one: string, other: string, meaning: string): Key => ({ parts: [one, other], joint: " and ", meaning });

export const KEYS: readonly Key[] = [
  key("A", "Add the cell under the pointer"),
  key("S", "Split: press in one half of a cell, then in the other"),
  key("M", "Merge: press in one cell, then in the one that belongs to it"),
  key("D", "Delete the cell under the pointer"),
  key("E", "Paint the cell under the pointer, or a new one; press again to end"),
  key("N", "This one is right: show the least certain cell that is left"),
  key("Ctrl+Z", "Undo"),
  key("Ctrl+Shift+Z", "Redo"),
  key("Esc", "End what is under way, and move the picture again"),
  either("[", "]", "Make the brush smaller or larger"),
  either("+", "-", "Zoom in and out"),
  key("0", "Show all of the image"),
  key("H", "Hide the cells, or show them again"),
  key("?", "Show this list"),
];

/** Return the meaning of a key that is named as in the list. */
export function meaningOf(name: string): string {
  return KEYS.find(({ parts, joint }) => parts.join(joint) === name)?.meaning ?? name;
}
