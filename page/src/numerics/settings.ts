/** Settings of inference, by the names that they have on the command line and in YAML. */
import { InputError } from "./errors";
import type { Target } from "./labels";
import { settingsOf, targetsOf, type ModelConfig } from "./model";
import type { MinSize } from "./small_cells";
import { replaced, type Thresholds } from "./thresholds";

/** Settings of which none is left to the model. */
export interface Settings {
  /** Targets to choose from, in the order of the model's maps. */
  targets: Target[];
  diameter: number | "auto" | null;
  thresholds: Map<Target, Thresholds>;
  min_size: MinSize;
  fill_holes: boolean;
}

const KNOWN = [
  "target",
  "diameter",
  "cells_max_threshold",
  "cell_fill_threshold",
  "cells_max",
  "cell_fill",
  "merge",
  "regrow",
  "min_size",
  "fill_holes",
  "model",
];

/** Check settings that a person gave, and fill in what is left to the model. */
export function completed(given: Record<string, unknown>, config: ModelConfig): Settings {
  const unknown = Object.keys(given).find((name) => !KNOWN.includes(name));
  if (unknown) throw new InputError(`${unknown} is not a setting, expected one of ${KNOWN.join(", ")}: leave it out`);
  const numbers: Partial<Thresholds> = {
    cells_max_threshold: asNumber(given, "cells_max_threshold") ?? asNumber(given, "cells_max"),
    cell_fill_threshold: asNumber(given, "cell_fill_threshold") ?? asNumber(given, "cell_fill"),
    merge: asNumber(given, "merge"),
    regrow: asFlag(given, "regrow"),
  };
  const known = targetsOf(config);
  return {
    targets: findTargets(given.target, config),
    diameter: findDiameter(given.diameter),
    thresholds: new Map(known.map((each) => [each, replaced(settingsOf(config, each).thresholds, numbers)])),
    min_size: findMinSize(given.min_size),
    fill_holes: asFlag(given, "fill_holes") ?? false,
  };
}

function asNumber(given: Record<string, unknown>, name: string): number | undefined {
  const value = given[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number") throw new InputError(`${name} is ${String(value)}, expected a number`);
  return value;
}

function asFlag(given: Record<string, unknown>, name: string): boolean | undefined {
  const value = given[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "boolean") throw new InputError(`${name} is ${String(value)}, expected true or false`);
  return value;
}

function findTargets(given: unknown, config: ModelConfig): Target[] {
  const known = targetsOf(config);
  if (given === undefined || given === "auto") return known;
  const found = known.find((target) => target === given);
  if (found) return [found];
  throw new InputError(
    `target is ${String(given)}, but model ${config.variant} was trained for ${known.join(" and ")} only: ` +
      `choose ${known.join(" or ")}`,
  );
}

function findDiameter(given: unknown): number | "auto" | null {
  if (given === undefined || given === "auto") return "auto";
  if (given === null || given === "none") return null;
  const pixels = Number(given);
  if (Number.isFinite(pixels) && pixels > 0) return pixels;
  throw new InputError(`diameter is ${String(given)}, expected pixels above 0, 'auto' or 'none'`);
}

function findMinSize(given: unknown): MinSize {
  if (given === undefined || given === "auto") return "auto";
  const pixels = Number(given);
  if (Number.isInteger(pixels) && pixels >= 0 && given !== null && given !== "") return pixels;
  throw new InputError(`min_size is ${String(given)}, expected 0 or more pixels, or 'auto'`);
}
