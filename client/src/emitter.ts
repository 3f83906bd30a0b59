/**
 * Listeners by event. Not an EventTarget: React Native has none, and a listener that throws may not
 * keep the next from its event.
 */
import { RoomcastError, report } from './errors.js';
import type { Listenable } from './types.js';
import { onAbort } from './wait.js';

export interface Emitter<Events> extends Listenable<Events> {
  /** Whether anybody listens. A listener taken off by one before it is not called any more. */
  emit<E extends keyof Events>(type: E, event: Events[E]): boolean;
  offAll(): void;
}

export function emitter<Events>(fail: (error: RoomcastError) => void): Emitter<Events> {
  /** By what takes each off. */
  const all = new Map<() => void, readonly [type: keyof Events, fn: (event: never) => void]>();
  return {
    on(type, fn, { signal } = {}) {
      let forget: (() => void) | undefined;
      const off = () => {
        all.delete(off);
        forget?.();
      };
      all.set(off, [type, fn]);
      forget = onAbort(signal, off);
      return off;
    },
    emit(type, event) {
      let isHeard = false;
      for (const [off, [of, fn]] of [...all]) {
        if (of !== type || !all.has(off)) continue;
        isHeard = true;
        try {
          fn(event as never);
        } catch (cause) {
          (type === 'error' ? report : fail)(new RoomcastError('handler_failed', { cause }));
        }
      }
      return isHeard;
    },
    offAll() {
      for (const off of all.keys()) off();
    },
  };
}
