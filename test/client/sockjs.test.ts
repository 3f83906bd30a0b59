/** Which socket is opened where WebSockets may not get through; with a real SockJS in `sockets.test.ts`. */
import { expect, it, onTestFinished, vi } from 'vitest';
import type { Socket, SocketFactory } from '../../client/src/index.js';
import { withSockJS } from '../../client/src/sockjs.js';

/** What is opened, a letter each, and the latest of them. */
function rig() {
  vi.useFakeTimers({ now: 0 });
  onTestFinished(() => void vi.useRealTimers());
  const opened: string[] = [];
  let latest = new EventTarget();
  const of =
    (letter: string): SocketFactory =>
    (url) => {
      opened.push(`${letter} ${url}`);
      latest = new EventTarget();
      return latest as unknown as Socket;
    };
  const open = withSockJS(of('S'), of('W'));
  return {
    opened,
    /** As many attempts, of which the last one is answered or none; a letter each. */
    tries(times: number, isAnswered = false, url = 'wss://host/ws') {
      const from = opened.length;
      for (let n = 0; n < times; n += 1) open(url);
      if (isAnswered) latest.dispatchEvent(new Event('message'));
      return opened
        .slice(from)
        .map((each) => each[0])
        .join('');
    },
  };
}

it('is a WebSocket, and every other time SockJS after two that were silent', () => {
  const { tries } = rig();
  expect(tries(7)).toBe('WWSWSWS');
});

it('is SockJS for an hour after one that was answered, then a WebSocket again', () => {
  const { tries } = rig();
  expect(tries(3, true)).toBe('WWS');
  expect(tries(5)).toBe('SSSSS');
  vi.advanceTimersByTime(3_599_000);
  // Each answer is of the same hour.
  expect(tries(1, true)).toBe('S');
  vi.advanceTimersByTime(2000);
  expect(tries(4)).toBe('WWSW');
});

it('stays a WebSocket where they are answered, however often they are lost', () => {
  const { tries } = rig();
  for (let n = 0; n < 5; n += 1) expect(tries(2, true)).toBe('WW');
});

it.each([
  ['wss://host/ws', 'https://host/sockjs'],
  ['ws://host:1/chat/ws', 'http://host:1/chat/sockjs'],
  ['ws://host/ws?room=1', 'http://host/sockjs'],
  ['https://host/ws', 'https://host/sockjs'],
])('finds the SockJS of %s at %s', (url, expected) => {
  const { opened, tries } = rig();
  tries(3, false, url);
  expect(opened).toEqual([`W ${url}`, `W ${url}`, `S ${expected}`]);
});
