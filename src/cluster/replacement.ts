/**
 * The replacement of all workers, one after the other: the next one is ready before the one before it
 * stops to accept, so that there is always one that does. One that cannot start ends it, and those that
 * are there stay.
 */
import type { Log } from '../log.js';
import type { Config } from '../options/config.js';
import { sleep } from '../sleep.js';
import { END_MS, isGone, isReady, isServing, type Seated, START_MS } from './seated.js';

/** What is replaced. */
export interface Seats {
  readonly slots: number;
  readonly isClosing: boolean;
  /** Who has the slot now. */
  at(slot: number): Seated | null;
  /** A worker for a slot, which waits to be seated. */
  fork(slot: number): Seated;
  /** The slot is its from now on, and who had it leaves. */
  seat(seat: Seated): void;
}

/** Says whether all were. `config`: of those that come. */
export async function replaceAll(seats: Seats, config: Config, log: Log): Promise<boolean> {
  log.info({ workers: seats.slots }, 'the workers are replaced, one after the other');
  for (let slot = 0; slot < seats.slots; slot += 1) {
    if (seats.isClosing) return true;
    try {
      await replaceOne(seats, slot, config);
    } catch (error) {
      log.error({ err: error, worker: slot }, 'a worker cannot be replaced; those before stay');
      return false;
    }
  }
  log.info({ workers: seats.slots }, 'all workers are replaced');
  return true;
}

async function replaceOne(seats: Seats, slot: number, config: Config): Promise<void> {
  const next = seats.fork(slot);
  let old: Seated | null = null;
  try {
    await next.until(isReady, START_MS);
    // Not before: it may have ended meanwhile, and another have its place.
    old = seats.at(slot);
    if (old && isServing(old)) {
      old.send({ type: 'stop' });
      await old.until(({ hasStopped }) => hasStopped, START_MS).catch(() => {});
      // Who was accepted last has to be able to say what it wants.
      await sleep(config.lameDuckMs);
    }
    seats.seat(next);
    await next.until(isServing, START_MS);
  } catch (error) {
    // If it has the slot by now, its exit has the primary start another.
    next.kill();
    throw error;
  }
  await old?.until(isGone, config.shutdownGraceMs + END_MS).catch(() => old?.kill());
}
