/** Raised for what a person gave and can change: `WHERE: what is wrong, expected …; what to do`. */
export class InputError extends Error {}

/** Raised where work was asked to end. */
export class Cancelled extends Error {}
