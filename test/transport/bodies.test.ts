/** Bodies whose peer does not send all of them; other bodies: `http/`, `scenarios/bad-input.test.ts`. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { Bodies } from '../../src/transport/bodies.js';

it('rejects a body whose peer leaves in the middle of it, and returns its bytes', async () => {
  const bodies = new Bodies({ stallMs: 60_000, networkOf: () => 'a', totalBytes: 2048 });
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  peer.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{"d');
  const [request] = (await once(server, 'request')) as [IncomingMessage];
  const body = bodies.whole(request, 1000, 'too big');
  const rejected = expect(body).rejects.toMatchObject({ code: 'bad_command' });
  await once(request, 'data');
  expect(bodies.take('a', 1024)).toBe(false);
  peer.destroy();
  await rejected;
  expect(bodies.take('a', 1024)).toBe(true);
});
