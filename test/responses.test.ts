/** The open responses of a server. What a shutdown does with them is tested in `scenarios/`. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { getHeapSpaceStatistics } from 'node:v8';
import { expect, onTestFinished, test } from 'vitest';
import { Requests } from '../src/requests.js';
import { Responses } from '../src/responses.js';
import { Turns } from '../src/turns.js';
import { collectYoung } from './support/heap.js';

test('keeps nothing alive in the old generation, however many responses there were', async () => {
  const requests = new Requests({ turns: new Turns(), refused: () => {} });
  const responses = new Responses();
  const http = createServer((request, response) => {
    responses.add(response);
    requests.handle(request, response, () => response.end());
  });
  await once(http.listen(0, '127.0.0.1'), 'listening');
  const socket = connect((http.address() as AddressInfo).port, '127.0.0.1');
  onTestFinished(() => {
    socket.destroy();
    http.close();
  });
  // Several at a time: what a `Set` holds when it rebuilds its table is what stays.
  const some = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(20);
  const get = async (times: number) => {
    for (let n = 0; n < times; n += 1) {
      socket.write(some);
      for (let left = 20; left > 0; ) {
        const [answers] = (await once(socket, 'data')) as [Buffer];
        left -= answers.toString('latin1').split('HTTP/1.1 200').length - 1;
      }
    }
  };
  const oldBytes = () =>
    getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')
      ?.space_used_size as number;
  await get(20);
  collectYoung();
  collectYoung();
  const before = oldBytes();
  for (let round = 0; round < 20; round += 1) {
    await get(10);
    collectYoung();
  }
  // With a `Set` it is some 8 MB.
  expect(oldBytes() - before).toBeLessThan(3_000_000);
});

test('does not wait for a response that stays open, and resets its connection', async () => {
  const responses = new Responses();
  const http = createServer((_request, response) => {
    responses.add(response);
    responses.stream(response);
    response.flushHeaders();
  });
  await once(http.listen(0, '127.0.0.1'), 'listening');
  const socket = connect((http.address() as AddressInfo).port, '127.0.0.1');
  onTestFinished(() => void http.close());
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await once(socket, 'data');
  let asked = 0;
  await responses.answered(() => {
    asked += 1;
    return 0;
  });
  expect(asked).toBe(0);
  const reset = once(socket, 'error');
  responses.reset();
  expect(await reset).toMatchObject([{ code: 'ECONNRESET' }]);
});
