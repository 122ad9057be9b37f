/** Keys of the page, with their meanings. */

export const KEYS: Record<string, string> = {
  A: "Add the cell under the pointer",
  S: "Split: press in one half of a cell, then in the other",
  M: "Merge: press in one cell, then in the one that belongs to it",
  D: "Delete the cell under the pointer",
  E: "Paint the cell under the pointer, or a new one; press again to end",
  N: "This one is right: show the least certain cell that is left",
  "Ctrl+Z": "Undo",
  "Ctrl+Shift+Z": "Redo",
  Esc: "End what is under way, and move the picture again",
  "[ and ]": "Make the brush smaller or larger",
  "+ and -": "Zoom in and out",
  "0": "Show all of the image",
  H: "Hide the cells, or show them again",
  "?": "Show this list",
};
