/** The choice of transport where WebSockets may be blocked. With a real SockJS in `sockets.test.ts`. */
import { expect, it, onTestFinished, vi } from 'vitest';
import type { Socket, SocketFactory } from '../../client/src/index.js';
import { withSockJS } from '../../client/src/sockjs.js';

/** Transports opened, one letter each, and the latest socket. */
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
    /** Makes attempts of which the last one is answered or none; returns one letter each. */
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

it('tries a WebSocket, and SockJS every other time after two silent ones', () => {
  const { tries } = rig();
  expect(tries(7)).toBe('WWSWSWS');
});

it('uses SockJS for an hour after an answer, then a WebSocket again', () => {
  const { tries } = rig();
  expect(tries(3, true)).toBe('WWS');
  expect(tries(5)).toBe('SSSSS');
  vi.advanceTimersByTime(3_599_000);
  // Each answer falls into the same hour.
  expect(tries(1, true)).toBe('S');
  vi.advanceTimersByTime(2000);
  expect(tries(4)).toBe('WWSW');
});

it('stays with WebSocket while they are answered, however often they are lost', () => {
  const { tries } = rig();
  for (let n = 0; n < 5; n += 1) expect(tries(2, true)).toBe('WW');
});

it.each([
  ['wss://host/ws', 'https://host/sockjs'],
  ['ws://host:1/chat/ws', 'http://host:1/chat/sockjs'],
  ['ws://host/ws?room=1', 'http://host/sockjs'],
  ['https://host/ws', 'https://host/sockjs'],
])('maps %s to the SockJS URL %s', (url, expected) => {
  const { opened, tries } = rig();
  tries(3, false, url);
  expect(opened).toEqual([`W ${url}`, `W ${url}`, `S ${expected}`]);
});
