/** Chart of a histogram, in which the part that the filter keeps stands out. */

import { drawn } from "../elements/element";
import { type Filter, passes } from "../table/filter";
import type { Histogram } from "../table/histogram";

const WIDTH = 300;
const HEIGHT = 72;

/** Return a chart; bins whose middle does not pass the filter are faint. */
export function histogramChart(histogram: Histogram, filter: Filter | null, column: string): SVGSVGElement {
  const { counts, low, high } = histogram;
  const most = Math.max(...counts, 1);
  const [step, width] = [WIDTH / counts.length, (high - low) / counts.length];
  const bars = counts.map((count, bin) => {
    const tall = count ? Math.max((count / most) * HEIGHT, 1.5) : 0;
    const middle = low + (bin + 0.5) * width;
    const isKept = filter?.column !== column || passes(middle, filter);
    return drawn("rect", {
      x: bin * step,
      y: HEIGHT - tall,
      width: step - 1,
      height: tall,
      class: isKept ? "bar" : "bar faint",
    });
  });
  const chart = drawn(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none", class: "histogram" },
    ...bars,
  );
  const bound = Number(filter?.value);
  if (filter?.column === column && bound >= low && bound <= high && high > low) {
    const x = ((bound - low) / (high - low)) * WIDTH;
    chart.append(drawn("line", { x1: x, x2: x, y1: 0, y2: HEIGHT, class: "bound" }));
  }
  chart.setAttribute("aria-label", `Histogram of ${column}, at most ${most} cells in a bar`);
  return chart;
}
