/** Curve of the loss while a model learns; its highest value is at the top, 0 at the bottom. */

import type { Job } from "../backend";
import { drawn } from "../elements/element";

const WIDTH = 300;
const HEIGHT = 90;

/** Return a chart of the loss, with room for all steps. */
export function lossCurve(curve: Job["curve"], steps: number): SVGSVGElement {
  const highest = Math.max(...curve.map(({ loss }) => loss), Number.MIN_VALUE);
  const last = Math.max(steps, curve.at(-1)?.step ?? 1, 1);
  const points = curve.map(({ step, loss }) => `${(step / last) * WIDTH},${HEIGHT * (1 - loss / highest)}`).join(" ");
  const chart = drawn("svg", {
    viewBox: `0 -2 ${WIDTH} ${HEIGHT + 4}`,
    role: "img",
    class: "curve",
    preserveAspectRatio: "none",
  });
  chart.append(drawn("polyline", { points, class: "line" }));
  chart.setAttribute(
    "aria-label",
    `Loss of each step, lower is better: ${curve.at(-1)?.loss.toFixed(4) ?? "none yet"}`,
  );
  return chart;
}
