/** Table of cells: one row a cell, one column a property, with the names and units of `dinocell.measure_cells`. */
import type { CellTable } from "../backend";
import { maxId } from "../numerics/labels";
import type { Labels, Plane } from "../numerics/plane";
import { convexArea } from "./hulls";
import { croftonPerimeters, findExtent, measureEllipse } from "./moments";
import { cellRuns, type CellRuns } from "./runs";

const NEIGHBOURS = [
  [0, 1],
  [1, 0],
  [1, 1],
  [1, -1],
];

/** Columns in pixels, and the same in micrometres. */
const PHYSICAL: Record<string, string> = {
  area: "area_um2",
  perimeter: "perimeter_um",
  equivalent_diameter: "equivalent_diameter_um",
  major_axis: "major_axis_um",
  minor_axis: "minor_axis_um",
  centroid_y: "centroid_y_um",
  centroid_x: "centroid_x_um",
};

type Row = Record<string, number>;

/** A cell whose columns stand in the header where there is no cell. */
const ONE_PIXEL: CellRuns = { id: 0, rows: [0], left: [0], right: [0] };

/** What cells are measured in beside their shape. */
export interface Measured {
  /** Channels by name; of several, columns end in _NAME. */
  channels: Map<string, Plane>;
  /** Edge of a pixel in micrometres, where it is known. */
  pixelSize: number | null;
  /** One a cell in the order of the ids, where there is a map. */
  confidence: Float32Array | null;
}

/** Measure the cells of a label image, whose ids may have gaps. */
export function measureCells(labels: Labels, { channels, pixelSize, confidence }: Measured): CellTable {
  const cells = cellRuns(labels);
  const highest = maxId(labels);
  const perimeters = croftonPerimeters(labels, highest);
  const touching = countNeighbours(labels, highest);
  const endings = channels.size === 1 ? [""] : safeNames([...channels.keys()]).map((name) => `_${name}`);
  const rowOf = (runs: CellRuns): Row => {
    const row = measureShape(runs, labels, perimeters[runs.id]);
    row.neighbours = touching[runs.id];
    [...channels.values()].forEach((channel, at) => measureIntensities(row, endings[at], runs, channel));
    if (pixelSize !== null) {
      for (const [name, physical] of Object.entries(PHYSICAL)) {
        row[physical] = row[name] * (name === "area" ? pixelSize ** 2 : pixelSize);
      }
    }
    return row;
  };
  const rows = cells.map(rowOf);
  const columns: CellTable["columns"] = {};
  for (const name of Object.keys(rows[0] ?? rowOf(ONE_PIXEL))) columns[name] = rows.map((row) => row[name]);
  if (confidence) columns.confidence = [...confidence];
  return { columns };
}

function measureShape(runs: CellRuns, labels: Labels, perimeter: number): Row {
  const extent = findExtent(runs);
  const { area, sums, box } = extent;
  const ellipse = measureEllipse(runs, extent);
  const atEdge = box[0] === 0 || box[1] === 0 || box[2] === labels.height || box[3] === labels.width;
  return {
    label: runs.id,
    area,
    centroid_y: sums[0] / area,
    centroid_x: sums[1] / area,
    bbox_y0: box[0],
    bbox_x0: box[1],
    bbox_y1: box[2],
    bbox_x1: box[3],
    equivalent_diameter: Math.sqrt((4 * area) / Math.PI),
    eccentricity: ellipse.eccentricity,
    solidity: area / convexArea(runs),
    perimeter,
    major_axis: ellipse.major,
    minor_axis: ellipse.minor,
    orientation: ellipse.orientation,
    circularity: (4 * Math.PI * area) / perimeter ** 2,
    touches_border: atEdge ? 1 : 0,
  };
}

/** Count the other cells that each cell touches, corners included, by id. */
function countNeighbours(labels: Labels, highest: number): Float64Array {
  const { height, width, data } = labels;
  const seen = new Set<number>();
  for (const [down, right] of NEIGHBOURS) {
    for (let y = 0; y + down < height; y++) {
      for (let x = Math.max(0, -right); x < width - Math.max(0, right); x++) {
        const a = data[y * width + x];
        const b = data[(y + down) * width + x + right];
        if (a !== b && a > 0 && b > 0) seen.add(Math.min(a, b) * (highest + 1) + Math.max(a, b));
      }
    }
  }
  const counts = new Float64Array(highest + 1);
  for (const pair of seen) {
    counts[Math.floor(pair / (highest + 1))]++;
    counts[pair % (highest + 1)]++;
  }
  return counts;
}

/** Add mean, deviation of all pixels, minimum and maximum of a channel to a row; NaN where a pixel is. */
function measureIntensities(row: Row, ending: string, runs: CellRuns, channel: Plane): void {
  let [sum, squares, low, high] = [0, 0, Infinity, -Infinity];
  forPixels(runs, channel, (value) => {
    sum += value;
    low = Math.min(low, value);
    high = Math.max(high, value);
  });
  const mean = sum / row.area;
  forPixels(runs, channel, (value) => (squares += (value - mean) ** 2));
  row[`mean_intensity${ending}`] = mean;
  row[`std_intensity${ending}`] = Math.sqrt(squares / row.area);
  row[`min_intensity${ending}`] = low;
  row[`max_intensity${ending}`] = high;
}

function forPixels(runs: CellRuns, { width, data }: Plane, look: (value: number) => void): void {
  runs.rows.forEach((row, at) => {
    for (let x = runs.left[at]; x <= runs.right[at]; x++) look(data[row * width + x]);
  });
}

/** Convert names to letters, digits and underscores; of those that become the same, later ones get a number. */
function safeNames(names: string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    const stem = name.replace(/[^\p{L}\p{N}_]+/gu, "_").replace(/^_+|_+$/g, "") || "channel";
    let unique = stem;
    for (let number = 2; taken.has(unique.toLowerCase()); number++) unique = `${stem}_${number}`;
    taken.add(unique.toLowerCase());
    return unique;
  });
}
