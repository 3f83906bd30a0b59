/**
 * Event listeners. Not an EventTarget: React Native has none, and a listener that throws must not keep
 * the next one from its event.
 */
import { RoomcastError, report } from './errors.js';
import type { Listenable } from './types.js';
import { onAbort } from './wait.js';

export interface Emitter<Events> extends Listenable<Events> {
  /** Returns whether there is a listener. A listener that an earlier one removed is not called. */
  emit<E extends keyof Events>(type: E, event: Events[E]): boolean;
  offAll(): void;
}

export function emitter<Events>(fail: (error: RoomcastError) => void): Emitter<Events> {
  /** Listeners by the function that removes them. */
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
