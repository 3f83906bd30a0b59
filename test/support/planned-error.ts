/** Thrown by a test where no error is expected, to check that the server survives it. */
export class PlannedError extends Error {}
