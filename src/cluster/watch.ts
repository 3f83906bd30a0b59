/**
 * Pings each worker every second and kills one that has not answered for too long. V13: time in which
 * the primary itself was stalled, however short, does not count.
 */
import type { Log } from '../log.js';
import { clearInterval, nowMs, setInterval } from '../time.js';
import type { Seated } from './seated.js';

const PING_MS = 1000;

/** `limitMs`: how long a worker may be silent. Returns a function that stops the watch. */
export function watch(
  seats: ReadonlySet<Seated>,
  limitMs: (seat: Seated) => number,
  log: Log,
): () => void {
  let lookedAt = nowMs();
  const timer = setInterval(() => {
    const now = nowMs();
    const lateMs = Math.max(0, now - lookedAt - PING_MS);
    lookedAt = now;
    for (const seat of seats) {
      seat.heardAt = Math.min(now, seat.heardAt + lateMs);
      if (now - seat.heardAt <= limitMs(seat)) {
        seat.send({ type: 'ping' });
        continue;
      }
      const silentMs = Math.round(now - seat.heardAt);
      log.error(
        { worker: seat.slot, pid: seat.pid, silentMs },
        'a worker does not respond; it is killed',
      );
      seat.kill();
    }
  }, PING_MS);
  return () => clearInterval(timer);
}
