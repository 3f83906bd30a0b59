/** The SockJS wires with input of a server that is not SockJS. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { openSockjs } from '../../../src/load/wire/sockjs.js';
import { Signal } from '../../support/signal.js';

test('a line that does not end is refused at 64 MiB', async () => {
  const server = createServer((_, response) => {
    response.writeHead(200);
    response.on('error', () => {});
    const part = Buffer.alloc(1024 * 1024, 0x2e);
    const more = (): void => {
      while (!response.destroyed && response.write(part));
    };
    response.on('drain', more);
    more();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  let bytes = 0;
  let reason = '';
  const closed = new Signal();
  const endpoint = {
    ...{ host: '127.0.0.1', port, tls: false, path: '/sockjs', headers: {} },
    readSize: 65_536,
  };
  const wire = openSockjs(
    endpoint,
    {
      chunk: (length) => {
        bytes += length;
      },
      open() {},
      payload() {},
      closed(why) {
        reason = why;
        closed.fire();
      },
    },
    'xhr-streaming',
  );
  onTestFinished(() => wire.reset());
  await closed.until(() => reason !== '');
  expect(reason).toBe('line longer than 64 MiB');
  expect(bytes).toBeLessThan(70 * 1024 * 1024);
});
