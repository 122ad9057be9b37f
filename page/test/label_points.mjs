// Labels as a page of a server shows them, and places in their cells to point at.

const TILE = 256;

/** Return ids, row by row, with the number of pixels of each cell; put together from the tiles of the finest level. */
export async function readLabels(page, { id, image, width, height, version }) {
  const ids = await page.evaluate(readIds, { id, image, width, height, version, tile: TILE });
  const cells = new Map();
  for (const cell of ids) if (cell) cells.set(cell, (cells.get(cell) ?? 0) + 1);
  return { ids, width, height, cells };
}

/** Runs in the page. */
async function readIds({ id, image, width, height, version, tile }) {
  const { levels } = await (await fetch(`/api/v1/images/${image}`)).json();
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  for (let y = 0; y * tile < height; y++) {
    for (let x = 0; x * tile < width; x++) {
      const answer = await fetch(`/api/v1/results/${id}/labels/${levels - 1}/${x}/${y}.png?version=${version}`);
      const bitmap = await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" });
      context.drawImage(bitmap, x * tile, y * tile);
    }
  }
  const { data } = context.getImageData(0, 0, width, height);
  return Array.from({ length: width * height }, (_, at) => (data[4 * at] << 16) | (data[4 * at + 1] << 8) | data[4 * at + 2]);
}

/** Return the [row, column] of a cell, or of the background, that is farthest from what is not of it, counted in squares. */
export function innermost({ ids, width, height }, cell) {
  const depth = new Uint16Array(width * height);
  let best = 0;
  for (let at = 0; at < ids.length; at++) {
    const [row, column] = [Math.floor(at / width), at % width];
    const isEdge = row === 0 || column === 0 || row === height - 1;
    if (ids[at] !== cell || isEdge) continue;
    // Side of the largest square of the cell that ends here.
    depth[at] = 1 + Math.min(depth[at - 1], depth[at - width], depth[at - width - 1]);
    if (depth[at] > depth[best]) best = at;
  }
  const half = Math.floor(depth[best] / 2);
  return [Math.floor(best / width) - half, (best % width) - half];
}

/** Return two places in the halves of a cell, along the longest run of its pixels in a row. */
export function halvesOf({ ids, width }, cell) {
  let longest = { at: 0, length: 0 };
  for (let at = 0, length = 0; at < ids.length; at++) {
    length = ids[at] === cell ? (at % width && length) + 1 : 0;
    if (length > longest.length) longest = { at, length };
  }
  const row = Math.floor(longest.at / width);
  return [0.8, 0.2].map((share) => [row, (longest.at % width) - Math.round(longest.length * share)]);
}
