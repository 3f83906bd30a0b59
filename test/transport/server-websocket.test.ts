/** What a connection of `ws` tells its transport, and that what goes wrong there goes no further (V12). */
import { Duplex } from 'node:stream';
import { expect, onTestFinished, test } from 'vitest';
import { onSurvived } from '../../src/survived.js';
import { type Owner, ServerWebSocket } from '../../src/transport/server-websocket.js';
import { PlannedError } from '../support/planned-error.js';

interface PaperWebSocket extends ServerWebSocket {
  setSocket(socket: Duplex, head: Buffer, options: object): void;
}

/** A connection whose socket is of paper. */
function paper(owner: Owner): PaperWebSocket {
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const ws = new (ServerWebSocket as unknown as new (...args: unknown[]) => PaperWebSocket)(
    null,
    [],
    {},
  );
  ws.setSocket(socket, Buffer.alloc(0), {});
  ws.tell(owner);
  return ws;
}

test('what is thrown at whatever comes from a peer is told, and ends no process', () => {
  const told: unknown[] = [];
  onTestFinished(onSurvived((error) => told.push(error)));
  const fail = (what: string) => () => {
    throw new PlannedError(what);
  };
  const ws = paper({
    message: fail('message'),
    pong: fail('pong'),
    left: fail('left'),
    fault: fail('fault'),
    closed: fail('closed'),
  });
  ws.emit('message', Buffer.from('x'), false);
  ws.emit('pong', Buffer.from('x'));
  ws.emit('error', new Error('a bad frame'));
  ws.terminate();
  ws.close(1000, 'bye');
  ws.emit('close', 1000, Buffer.alloc(0));
  expect(told.map((error) => (error as Error).message).slice(0, 6)).toEqual([
    'message',
    'pong',
    'fault',
    'fault',
    'left',
    'closed',
  ]);
});
