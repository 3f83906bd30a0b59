/** Bodies whose peer does not send all of them; other bodies: `http/`, `scenarios/bad-input.test.ts`. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { Refusal } from '../../src/errors.js';
import { Bodies, breakOff } from '../../src/transport/bodies.js';

it('rejects a body whose peer leaves in the middle of it, and returns its bytes', async () => {
  const bodies = new Bodies({ stallMs: 60_000, networkOf: () => 'a', totalBytes: 2048 });
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  peer.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{"d');
  const [request] = (await once(server, 'request')) as [IncomingMessage];
  const body = new Promise((resolve, reject) => {
    bodies.whole(request, 1000, 'too big', resolve, reject);
  });
  const rejected = expect(body).rejects.toMatchObject({ code: 'bad_command' });
  // Until the first bytes are read, which takes what is left of the bound.
  while (bodies.take('a', 1024)) {
    bodies.give('a', 1024);
    await turn();
  }
  peer.destroy();
  await rejected;
  expect(bodies.take('a', 1024)).toBe(true);
});

it.each([
  ['with its head', ''],
  ['after its head', 'later'],
])('gives a body that arrived %s to a turn that comes after it was read', async (_when, later) => {
  const bodies = new Bodies({ stallMs: 60_000, networkOf: () => 'a' });
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  onTestFinished(() => void peer.destroy());
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n';
  peer.write(later === '' ? `${head}later` : head);
  const [request] = (await once(server, 'request')) as [IncomingMessage];
  const ready = new Promise<() => Buffer>((resolve, reject) => {
    bodies.whole(request, 1000, 'too big', resolve, reject);
  });
  if (later !== '') {
    await turn();
    peer.write(later);
  }
  const take = await ready;
  // A body that was read ends its request, which is closed some ticks later.
  for (let i = 0; i < 5; i += 1) await turn();
  expect(take().toString()).toBe('later');
});

/** The next request of a server, whose peer sends these bytes. */
async function requestOf(bytes: string): Promise<IncomingMessage> {
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  onTestFinished(() => void peer.destroy());
  peer.write(bytes);
  const [request] = (await once(server, 'request')) as [IncomingMessage];
  return request;
}

it('refuses a body in chunks that is over the bound, once, and one that is broken off', async () => {
  const bodies = new Bodies({ stallMs: 60_000, networkOf: () => 'a' });
  const chunked =
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlater\r\n0\r\n\r\n';
  const told: string[] = [];
  const read = (request: IncomingMessage, maxBytes: number) =>
    bodies.whole(
      request,
      maxBytes,
      'too big',
      (take) => told.push(take().toString()),
      ({ code }) => told.push(code),
    );
  read(await requestOf(chunked), 4);
  await turn();
  await turn();
  expect(told).toEqual(['message_too_big']);
  read(await requestOf(chunked), 5);
  await turn();
  await turn();
  expect(told).toEqual(['message_too_big', 'later']);
  const brokenOff = await requestOf(chunked);
  read(brokenOff, 5);
  expect(breakOff(brokenOff, new Refusal('bad_command', 'planned'))).toBe(true);
  await turn();
  await turn();
  expect(told).toEqual(['message_too_big', 'later', 'bad_command']);
});

it('reads a body that someone else reads, too', async () => {
  const bodies = new Bodies({ stallMs: 60_000, networkOf: () => 'a' });
  const request = await requestOf('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nlater');
  let counted = 0;
  request.on('data', (chunk: Buffer) => {
    counted += chunk.length;
  });
  const take = await new Promise<() => Buffer>((resolve, reject) => {
    bodies.whole(request, 1000, 'too big', resolve, reject);
  });
  expect([take().toString(), counted]).toEqual(['later', 5]);
});
