/** Thrown by a test where no error is expected, to see it survived. */
export class PlannedError extends Error {}
