import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { run } from './support/process.js';

const at = (file: string) => new URL(`../bench/${file}`, import.meta.url);

test.each([
  [['run.js', '--seconds', '16'], /from 1 to 15; members of the load answer no pings/],
  [['run.js', '--seconds', 'x'], /--seconds is "x": expected a whole number from 1 to 15$/],
  [['run.js', '--rounds', '1.5'], /--rounds is "1.5": expected a whole number/],
  [['run.js', '--only', 'P1,P99'], /--only has "P99": expected some of P1, P2/],
  [['run.js', '--only', 'P6', '--series', 'Bun'], /"Bun": expected some of roomcast, bare route$/],
  [['run.js', '--series', 'Bun', '--record'], /--record is for all series/],
  [['run.js', '--round', '1'], /Unknown option '--round'/],
  [['isolation.js', '--only', 'S3'], /--only has "S3": expected some of S0, S1/],
  [['isolation.js', '--repeat', '0'], /--repeat is "0"/],
  [['isolation.js', '--record', '--', '--calm', '1s'], /--record is for whole runs/],
  [['compare.js'], /nothing to compare with: expected a folder or a peer$/],
  [
    ['compare.js', '/nowhere'],
    /\/nowhere is missing: run `npm ci` and `npm run build` in its root$/,
  ],
  [['compare.js', '--only', 'P4', 'Bun'], /--only has "P4": expected some of P1, P2, P3 closed/],
  [['micro/run.js', 'lok'], /name has "lok": expected some of send-queue/],
])('%j ends with 2 and one line', ([file, ...args], line) => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [at(file as string).pathname, ...args],
    { encoding: 'utf8' },
  );
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toMatch(/^bench: [^\n]+\n$/);
  expect(stderr.trimEnd()).toMatch(line);
});

test('a marker is one with its digits, whatever the bytes of a ping look like', async () => {
  const { openWebSocket } = await import(at('load/member.js').href);
  const ping = Buffer.concat([Buffer.from([0x89, 8]), Buffer.from('x@@\xff\x01z9@', 'latin1')]);
  const message = (number: string) => Buffer.from(`{"data":"@@${number}xx"}`);
  const peer = createServer((socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n'));
  const accepted = once(peer, 'connection');
  await new Promise<void>((resolve) => peer.listen(0, '127.0.0.1', resolve));
  const { port } = peer.address() as AddressInfo;
  const read: number[] = [];
  const ended = new Promise<void>((resolve) => {
    const onMessages = (_member: unknown, numbers: Int32Array, count: number) => {
      read.push(...numbers.slice(0, count));
      if (read.length >= 2) resolve();
    };
    void openWebSocket({ port, path: '/', room: 0, onMessages }).then(async () => {
      const [socket] = (await accepted) as [Socket];
      const frames = [ping, message('00000007'), ping, ping, message('00000008'), ping];
      socket.end(Buffer.concat(frames));
    });
  });
  await ended;
  peer.close();
  expect(read).toEqual([7, 8]);
});

test('a command that measures again leaves the part of the other', async () => {
  const { withPart } = await import(at('results.js').href);
  const first = withPart('', 'bench', '## Of bench\n\n1\n');
  expect(first).toMatch(/## Of bench.*`npm run isolation -- --record` has not been run/s);
  const both = withPart(first, 'isolation', '## Of isolation\n\n2\n');
  const again = withPart(both, 'bench', '## Of bench\n\n3\n');
  expect(again).toBe(both.replace('\n1\n', '\n3\n'));
  const withMore = withPart(again, 'again', '## Of bench again\n\n4\n');
  expect(withMore).toMatch(/## Of bench\n\n3\n.*## Of bench again\n\n4\n.*## Of isolation/s);
  expect(withPart(withMore, 'bench', '## Of bench\n\n3\n')).toBe(again);
  expect(again).toMatch(/^# Results\n.*## Of bench\n\n3\n.*## Of isolation\n\n2\n/s);
});

test('a server that is to count nothing serves, and has counted nothing', async () => {
  const node = ['--import', at('peers/uncounted.js').href];
  const server = run(['serve', '--port', '0'], { node });
  const { url } = await server.line('serving');
  const socket = new WebSocket(`${String(url).replace('http', 'ws')}/ws`);
  const got = new Promise<string>((resolve) => {
    socket.on('message', (data) => String(data).includes('"message"') && resolve(String(data)));
  });
  socket.on('open', () => {
    socket.send('{"type":"join","room":"a"}');
    socket.send('{"type":"publish","room":"a","data":1}');
  });
  expect(await got).toContain('"data":1');
  socket.close();
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toMatch(/^roomcast_published_total 0$/m);
  expect(metrics).toMatch(/^roomcast_delivery_seconds_count\{[^}]*\} 0$/m);
  expect(metrics).not.toMatch(/^(roomcast_delivered|roomcast_delivery|nodejs_gc).* [1-9]/m);
});

// Those of locks need what only `npm ci` in bench/ installs.
test.each(['batch', 'codec', 'join', 'send-queue'])('the loops of micro/%s run', async (name) => {
  const { sink } = await import(at('micro/harness.js').href);
  const { cases } = await import(at(`micro/${name}.js`).href);
  const before = sink.sum;
  for (const { run } of await cases()) await run(2);
  expect(sink.sum).toBeGreaterThan(before);
});
