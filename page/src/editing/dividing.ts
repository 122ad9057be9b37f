/**
 * Divide pixels among clicks: every pixel goes to the click from which the way to it is cheapest.
 *
 * A way costs little where the distance map is high and much where it is low, so that two ways meet in the valley
 * between two cells; where the map has no valley they meet half-way.
 */
import { distanceToOutside, nearestLabelled } from "../numerics/distance";
import { roundEven, zeros, type DistanceMap, type Labels, type Mask } from "../numerics/plane";
import { PixelQueue } from "../numerics/queue";
import type { Pixel } from "./growing";

const LEAST = 0.01; // added to the square of the height: a way over 0 costs a hundred times what it costs over 1
const VALLEY = 0.9; // a valley is where the straight way falls below this share of the lower of two clicks

/**
 * Divide the pixels of a mask among groups of clicks: 1…N by the order of the groups, 0 outside the mask.
 *
 * A piece without a click goes to the group that has the nearest pixel.
 */
export function divide(mask: Mask, heights: DistanceMap | null, groups: readonly Pixel[][]): Labels {
  const own = ownDistance(mask);
  let counted = own;
  if (heights && hasValleys(heights, groups)) counted = heights.data;
  else if (heights) counted = heights.data.map((value, at) => Math.fround(value + own[at]) / 2);
  const f = Math.fround;
  const costs = counted.map((value) => {
    const high = Math.max(value, 0);
    return 1 / f(f(high * high) + f(LEAST));
  });
  return fillFromNearest(cheapest(mask, costs, groups), mask);
}

/** Return the distance of the mask's pixels to its outside, as a share of the largest. */
function ownDistance(mask: Mask): Float32Array {
  const limit = mask.height + mask.width; // a mask that fills the window has no outside
  const distance = distanceToOutside({ ...mask, data: new Int32Array(mask.data) });
  const away = distance.data.map((value) => Math.min(value, limit));
  const most = away.reduce((highest, value) => Math.max(highest, value), 0);
  return away.map((value) => value / most);
}

/** Return whether the straight way between any two clicks of different groups leads through a valley. */
function hasValleys(heights: DistanceMap, groups: readonly Pixel[][]): boolean {
  const at = ([row, column]: Pixel): number => heights.data[row * heights.width + column];
  return groups.every((first, number) =>
    groups.slice(number + 1).every((second) =>
      first.every((a) =>
        second.every((b) => {
          const lowest = Math.min(...straightWay(a, b).map(at));
          return lowest <= Math.fround(Math.fround(VALLEY) * Math.min(at(a), at(b)));
        }),
      ),
    ),
  );
}

function straightWay(start: Pixel, end: Pixel): Pixel[] {
  const steps = Math.max(Math.abs(end[0] - start[0]), Math.abs(end[1] - start[1]));
  return Array.from({ length: steps + 1 }, (_, step) => {
    if (step === steps) return end;
    return [0, 1].map((axis) => roundEven(step * ((end[axis] - start[axis]) / steps) + start[axis])) as Pixel;
  });
}

/** Find for every pixel that a way leads to the group with the cheapest one; the first of equally cheap ones. */
function cheapest(mask: Mask, costs: Float32Array, groups: readonly Pixel[][]): Labels {
  const { height, width } = mask;
  const labels = zeros(height, width);
  const lengths = new Float64Array(mask.data.length).fill(Infinity);
  const queue = new PixelQueue(mask.data.length * 9 * groups.length);
  const reach = (at: number, length: number, group: number): void => {
    const better = length < lengths[at] || (length === lengths[at] && group < labels.data[at]);
    if (!better) return;
    lengths[at] = length;
    labels.data[at] = group;
    queue.push(at, -length);
  };
  groups.forEach((group, number) => {
    for (const [row, column] of group) reach(row * width + column, 0, number + 1);
  });
  while (queue.length) {
    const length = -queue.highest;
    const at = queue.pop();
    if (length > lengths[at]) continue;
    const [y, x] = [Math.floor(at / width), at % width];
    for (let down = -1; down <= 1; down++) {
      for (let right = -1; right <= 1; right++) {
        const next = at + down * width + right;
        const inside = y + down >= 0 && y + down < height && x + right >= 0 && x + right < width;
        if ((!down && !right) || !inside || !mask.data[next]) continue;
        const step = (Math.fround(costs[at] + costs[next]) / 2) * (down && right ? Math.SQRT2 : 1);
        reach(next, length + step, labels.data[at]);
      }
    }
  }
  return labels;
}

/** Fill pixels of a mask that have no label with that of the nearest pixel that has one. */
export function fillFromNearest(labels: Labels, mask: Mask): Labels {
  if (!mask.data.some((inside, at) => inside && labels.data[at] === 0)) return labels;
  const { place } = nearestLabelled(labels);
  const data = labels.data.map((id, at) => (mask.data[at] && id === 0 ? labels.data[place[at]] : id));
  return { ...labels, data };
}
