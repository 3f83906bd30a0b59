/**
 * Owns: the one `beforeExit` listener. Node emits `beforeExit` when the event loop is empty: a wait that
 * is pending then can never end. Keeps V8: a detector is registered only while it has waits.
 */

interface AtExit {
  atExit(): void;
}

const detectors = new Set<AtExit>();
let listening = false;

export function watchExit(detector: AtExit): void {
  if (!listening) {
    listening = true;
    process.on('beforeExit', () => {
      for (const each of detectors) each.atExit();
    });
  }
  detectors.add(detector);
}

export function unwatchExit(detector: AtExit): void {
  detectors.delete(detector);
}
