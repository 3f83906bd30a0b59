/** What happens to a page, in the client's words; Chromium tells some of it twice, other browsers do not. */
import { expect, it, onTestFinished, vi } from 'vitest';
import type { LifecycleEvent } from '../../client/src/index.js';
import { page } from '../../client/src/lifecycle.js';

/** A window, as far as it is listened to, and what the client is told of it. */
function rig() {
  const window = new EventTarget();
  const document = { visibilityState: 'visible' };
  vi.stubGlobal('addEventListener', window.addEventListener.bind(window));
  // Node takes `true` for no capture here, other than browsers.
  vi.stubGlobal('removeEventListener', (type: string, fn: () => void, capture: boolean) =>
    window.removeEventListener(type, fn, { capture }),
  );
  vi.stubGlobal('document', document);
  onTestFinished(() => void vi.unstubAllGlobals());
  const told: LifecycleEvent[] = [];
  const stop = page.watch((event) => told.push(event));
  return {
    told,
    stop,
    document,
    happen: (type: string, about = {}) =>
      window.dispatchEvent(Object.assign(new Event(type), about)),
  };
}

it('begins with whether the page is seen', () => {
  expect(rig().told).toEqual(['visible']);
});

it.each([
  ['online', {}, ['online']],
  ['offline', {}, ['offline']],
  ['freeze', {}, ['freeze']],
  ['resume', {}, ['resume']],
  ['pagehide', { persisted: true }, ['freeze']],
  ['pagehide', { persisted: false }, ['freeze']],
  ['pageshow', { persisted: true }, ['resume']],
  // Of a page that has just been loaded.
  ['pageshow', { persisted: false }, []],
  ['unload', {}, []],
])('%s %j is %j', (type, about, expected) => {
  const { told, happen } = rig();
  happen(type, about);
  expect(told.slice(1)).toEqual(expected);
});

it('tells when the page is hidden and seen again', () => {
  const { told, happen, document } = rig();
  document.visibilityState = 'hidden';
  happen('visibilitychange');
  document.visibilityState = 'visible';
  happen('visibilitychange');
  expect(told).toEqual(['visible', 'hidden', 'visible']);
});

it('is not told any more once it is stopped', () => {
  const { told, stop, happen } = rig();
  stop();
  for (const type of ['online', 'pagehide', 'visibilitychange', 'freeze']) happen(type);
  expect(told).toEqual(['visible']);
});
