/** Colours of cells: stable ones by id, or by a measurement. A colour is 0xRRGGBB. */

/** Steps of a sequence that fills three dimensions evenly, so that ids that follow each other lie far apart. */
const STEPS = [0.6180339887498949, 0.7548776662466927, 0.4656774] as const;

/** Return a colour of a cell, always the same for an id; ids near each other have colours that are far apart. */
export function colourOfId(id: number): number {
  const hue = (id * STEPS[0]) % 1;
  const lightness = 0.5 + 0.24 * ((id * STEPS[1]) % 1);
  const saturation = 0.65 + 0.35 * ((id * STEPS[2]) % 1);
  return fromHsl(hue, saturation, lightness);
}

function fromHsl(hue: number, saturation: number, lightness: number): number {
  const spread = saturation * Math.min(lightness, 1 - lightness);
  const part = (offset: number) => {
    const at = (offset + hue * 12) % 12;
    return Math.round(255 * (lightness - spread * Math.max(-1, Math.min(at - 3, 9 - at, 1))));
  };
  return (part(0) << 16) | (part(8) << 8) | part(4);
}

/** Viridis at nine even steps: dark to bright, also for those who see fewer colours. */
const VIRIDIS = [0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c, 0x28ae80, 0x5ec962, 0xaddc30, 0xfde725];

/** Return the colour of a share from 0 (dark) to 1 (bright). */
export function colourOfShare(share: number): number {
  const at = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const below = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const mix = (shift: number) => {
    const [from, to] = [(VIRIDIS[below] >> shift) & 255, (VIRIDIS[below + 1] >> shift) & 255];
    return Math.round(from + (to - from) * (at - below));
  };
  return (mix(16) << 16) | (mix(8) << 8) | mix(0);
}

/** Colour of cells without a value. */
export const UNKNOWN = 0x808080;

/** Share of the values at either end that do not stretch the colours. */
const TAIL = 0.02;

/** Return the values at the ends of a column's colours: of `confidence` 0 and 1, else without the outermost 2 %. */
export function endsOf(column: string, values: readonly unknown[]): [number, number] {
  if (column === "confidence") return [0, 1];
  const known = values.filter((value): value is number => typeof value === "number" && Number.isFinite(value));
  if (!known.length) return [0, 1];
  known.sort((one, other) => one - other);
  return [known[Math.floor(TAIL * (known.length - 1))], known[Math.ceil((1 - TAIL) * (known.length - 1))]];
}

/** Return the colour of every cell by its value. */
export function coloursByValue(
  ids: readonly unknown[],
  values: readonly unknown[],
  ends: [number, number],
): Map<number, number> {
  const span = ends[1] - ends[0] || 1;
  return new Map(
    ids.map((id, row) => {
      const value = values[row];
      const isKnown = typeof value === "number" && Number.isFinite(value);
      return [Number(id), isKnown ? colourOfShare((value - ends[0]) / span) : UNKNOWN];
    }),
  );
}

/** Return a colour as CSS writes it. */
export function cssOf(colour: number): string {
  return `#${colour.toString(16).padStart(6, "0")}`;
}
