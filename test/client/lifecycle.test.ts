/**
 * Page events and the client events they become. Chromium fires some of them twice, other browsers do
 * not.
 */
import { expect, it, onTestFinished, vi } from 'vitest';
import type { LifecycleEvent } from '../../client/src/index.js';
import { page } from '../../client/src/lifecycle.js';

/** A fake window, and the events that the client receives. */
function rig() {
  const window = new EventTarget();
  const document = { visibilityState: 'visible' };
  vi.stubGlobal('addEventListener', window.addEventListener.bind(window));
  // In Node, unlike in browsers, `true` does not set capture here.
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

it('starts with the visibility of the page', () => {
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
  // A page that was just loaded.
  ['pageshow', { persisted: false }, []],
  ['unload', {}, []],
])('maps %s %j to %j', (type, about, expected) => {
  const { told, happen } = rig();
  happen(type, about);
  expect(told.slice(1)).toEqual(expected);
});

it('reports when the page is hidden and visible again', () => {
  const { told, happen, document } = rig();
  document.visibilityState = 'hidden';
  happen('visibilitychange');
  document.visibilityState = 'visible';
  happen('visibilitychange');
  expect(told).toEqual(['visible', 'hidden', 'visible']);
});

it('reports nothing once it is stopped', () => {
  const { told, stop, happen } = rig();
  stop();
  for (const type of ['online', 'pagehide', 'visibilitychange', 'freeze']) happen(type);
  expect(told).toEqual(['visible']);
});
