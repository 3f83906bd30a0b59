/** The private parts of `ws` are checked before the server starts. */
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { checkWs } from '../../src/transport/ws-receiver.js';

test('the server does not start with a ws whose private parts differ', () => {
  checkWs();
  class Other extends WebSocket {
    setSocket(): void {}
  }
  expect(() => checkWs(Other)).toThrow('ws is not a release this server is made for');
});
