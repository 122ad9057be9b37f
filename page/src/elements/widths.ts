/** Widths of the page, as the style sheet has them. */

/** Below this width the panels, images among them, stand below the picture. */
export const NARROW = "(max-width: 899px)";
