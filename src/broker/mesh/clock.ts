/**
 * Converts deadlines between processes of one machine. `nowMs()` counts from the start of each process,
 * but all share the clock below it. So a worker that was stalled refuses requests whose deadline passed
 * meanwhile.
 */
import { nowMs } from '../../time.js';

/** The machine's clock minus `nowMs()`. */
const AHEAD_MS = Number(process.hrtime.bigint()) / 1e6 - nowMs();

/** Converts a time of `nowMs()` to the machine's clock. */
export const toMachine = (ms: number): number => ms + AHEAD_MS;

/** Converts a time of the machine's clock to `nowMs()`. */
export const fromMachine = (ms: number): number => ms - AHEAD_MS;
