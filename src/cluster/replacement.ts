/**
 * Replaces all workers, one by one. A new worker is ready before its predecessor stops accepting, so
 * that one always accepts. If one cannot start, the replacement stops, and the remaining workers stay.
 */
import type { Log } from '../log.js';
import type { Config } from '../options/config.js';
import { sleep } from '../sleep.js';
import { isReady, isServing, type Seated, START_MS } from './seated.js';

/** The workers, as the primary gives access to them. */
export interface Seats {
  readonly slots: number;
  readonly isClosing: boolean;
  /** The current worker of a slot. */
  at(slot: number): Seated | null;
  /** Starts a worker that waits for its slot. */
  fork(slot: number): Seated;
  /** Gives the worker its slot; the previous worker leaves. */
  seat(seat: Seated): void;
}

/** Returns false if a worker could not be replaced. `config`: options of the new workers. */
export async function replaceAll(seats: Seats, config: Config, log: Log): Promise<boolean> {
  log.info({ workers: seats.slots }, 'replacing all workers, one by one');
  for (let slot = 0; slot < seats.slots; slot += 1) {
    if (seats.isClosing) return true;
    try {
      await replaceOne(seats, slot, config);
    } catch (error) {
      // The shutdown has ended it.
      if (seats.isClosing) return true;
      log.error(
        { err: error, worker: slot },
        'a worker cannot be replaced; the remaining workers stay',
      );
      return false;
    }
  }
  log.info({ workers: seats.slots }, 'all workers have been replaced');
  return true;
}

async function replaceOne(seats: Seats, slot: number, config: Config): Promise<void> {
  const next = seats.fork(slot);
  let old: Seated | null = null;
  try {
    await next.until(isReady, START_MS);
    // Read only now: the previous worker may have ended and been replaced meanwhile.
    old = seats.at(slot);
    if (old && isServing(old)) {
      old.send({ type: 'stop' });
      await old.until(({ hasStopped }) => hasStopped, START_MS).catch(() => {});
      // Connections accepted last get time to send their request.
      await sleep(config.lameDuckMs);
    }
    seats.seat(next);
    await next.until(isServing, START_MS);
  } catch (error) {
    // If it already has the slot, the primary starts another when it exits.
    next.kill();
    throw error;
  }
  await old?.ended();
}
