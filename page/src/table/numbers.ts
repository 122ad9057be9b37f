/** Numbers as people read them. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const significant = new Intl.NumberFormat("en", { maximumSignificantDigits: 4, useGrouping: false });

/** Return a value of a table in few characters; empty where there is none. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return "";
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-3 ? value.toExponential(2) : significant.format(value);
}

/** Return a number of things, with a comma at every thousand. */
export function countOf(count: number): string {
  return whole.format(count);
}

/** Return a number with its noun. */
export function counted(count: number, noun: string): string {
  return `${countOf(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** Return a size of a file. */
export function bytesOf(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  return `${significant.format(Number((bytes / 1000 ** power).toPrecision(3)))} ${units[power]}`;
}

/** Return a time that is left. */
export function durationOf(seconds: number): string {
  if (seconds < 90) return `about ${Math.max(1, Math.round(seconds))} s left`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
  return `about ${Math.round(seconds / 3600)} h left`;
}

/** Return the largest length of 1, 2 or 5 times a power of ten that is at most `longest`. */
export function roundLength(longest: number): number {
  const power = 10 ** Math.floor(Math.log10(longest));
  return power * ([5, 2, 1].find((factor) => factor * power <= longest) ?? 1);
}
