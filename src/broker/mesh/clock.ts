/**
 * Deadlines between processes of one machine: `nowMs()` counts from the start of each, the clock under it
 * is one for all. A worker that stood still refuses what was to be done before it woke up.
 */
import { nowMs } from '../../time.js';

/** What the clock of the machine is ahead of that of this process. */
const AHEAD_MS = Number(process.hrtime.bigint()) / 1e6 - nowMs();

/** Of a time by `nowMs()` here. */
export const toMachine = (ms: number): number => ms + AHEAD_MS;

/** A time by `nowMs()` here. */
export const fromMachine = (ms: number): number => ms - AHEAD_MS;
