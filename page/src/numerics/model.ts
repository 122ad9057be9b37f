/** Description of a model, as the `config.json` of an exported page has it. */
import type { ConfidenceWeights } from "../measuring/confidence";
import type { Target } from "./labels";
import type { Preprocessing } from "./preprocessing";
import type { TargetChoice } from "./targets";
import type { Thresholds } from "./thresholds";

/** Diameters in pixels, from and to. */
export type DiameterRange = [number, number];

export interface ModelConfig {
  variant: string;
  description: string;
  /** Version of DINOCell that exported it. */
  dinocell: string;
  tile_size: number;
  overlap: number;
  /** Pixels of the image a pixel of the coarsest feature map: sides of tiles are multiples of it. */
  stride: number;
  preprocessing: Preprocessing;
  /** In the order of the network's maps. */
  targets: Partial<Record<Target, { thresholds: Thresholds; diameter_range: DiameterRange | null }>>;
  target_choice: TargetChoice;
  confidence: ConfidenceWeights;
}

export function targetsOf(config: ModelConfig): Target[] {
  return Object.keys(config.targets) as Target[];
}

export function rangesOf(config: ModelConfig): Map<Target, DiameterRange | null> {
  return new Map(targetsOf(config).map((target) => [target, settingsOf(config, target).diameter_range]));
}

export function settingsOf(
  config: ModelConfig,
  target: Target,
): { thresholds: Thresholds; diameter_range: DiameterRange | null } {
  const settings = config.targets[target];
  if (!settings) throw new Error(`${config.variant} has no target ${target}`);
  return settings;
}
