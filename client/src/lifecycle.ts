/**
 * Lifecycle events of the page: network, visibility, freezing. Does nothing without a document.
 *
 * Not `unload` or `beforeunload`: browsers keep a page that listens to them out of the back/forward
 * cache.
 */
import type { Lifecycle, LifecycleEvent } from './types.js';

type Listener = (event: { type: string; persisted?: boolean }) => void;

interface Page {
  addEventListener?(type: string, fn: Listener, isCapture: true): void;
  removeEventListener?(type: string, fn: Listener, isCapture: true): void;
  document?: { visibilityState: 'visible' | 'hidden' };
}

export const page: Lifecycle = {
  watch(on) {
    const window = globalThis as Page;
    const { document } = window;
    if (!document) return () => {};
    const listener: Listener = ({ type, persisted }) => {
      if (type === 'visibilitychange') on(document.visibilityState);
      else if (type === 'pagehide') on('freeze');
      else if (type !== 'pageshow') on(type as LifecycleEvent);
      else if (persisted) on('resume');
    };
    // With capture, the window also receives the document's events.
    const each = (action: 'addEventListener' | 'removeEventListener') => {
      for (const type of 'online offline pagehide pageshow visibilitychange freeze resume'.split(
        ' ',
      )) {
        window[action]?.(type, listener, true);
      }
    };
    each('addEventListener');
    on(document.visibilityState);
    return () => each('removeEventListener');
  },
};
