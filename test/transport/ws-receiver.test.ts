/** The private parts of `ws` that are used are tried out before anybody is served. */
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { checkWs } from '../../src/transport/ws-receiver.js';

test('a ws whose private parts are others is not started with', () => {
  checkWs();
  class Other extends WebSocket {
    setSocket(): void {}
  }
  expect(() => checkWs(Other)).toThrow('ws is not a release this server is made for');
});
