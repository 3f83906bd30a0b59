/**
 * Owns: one listener per abort signal, shared by all waits on it. A server has one shutdown signal and
 * thousands of waits; a listener per wait would cost more than the wait and trigger Node's leak warning.
 * Keeps V8: the listener is removed with its last wait.
 */

interface Abortable {
  aborted(reason: unknown): void;
}

interface Entry {
  readonly waits: Set<Abortable>;
  readonly fire: () => void;
}

const entries = new WeakMap<AbortSignal, Entry>();

export function watchSignal(signal: AbortSignal, wait: Abortable): void {
  let entry = entries.get(signal);
  if (entry === undefined) {
    const waits = new Set<Abortable>();
    const fire = () => {
      for (const each of waits) each.aborted(signal.reason);
    };
    entry = { waits, fire };
    entries.set(signal, entry);
    signal.addEventListener('abort', fire, { once: true });
  }
  entry.waits.add(wait);
}

export function unwatchSignal(signal: AbortSignal, wait: Abortable): void {
  const entry = entries.get(signal);
  if (entry === undefined) return;
  entry.waits.delete(wait);
  if (entry.waits.size === 0) {
    entries.delete(signal);
    signal.removeEventListener('abort', entry.fire);
  }
}
