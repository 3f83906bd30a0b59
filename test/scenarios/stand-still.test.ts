/**
 * V13: time in which the server itself was stalled is never held against a peer. Its event loop is
 * blocked for longer than a heartbeat while pings are pending; when it resumes, the pongs are still in
 * the kernel, and timers run before sockets are read.
 */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { run } from '../support/process.js';
import {
  connectRawWebSocket,
  frame,
  json,
  PING,
  PONG,
  type RawPeer,
} from '../support/raw-websocket.js';

const HEARTBEAT_MS = 1000;
const PEERS = 20;
/** Loaded into the server. A process stopped with SIGSTOP would read its sockets first. */
const BLOCK = `process.on('SIGUSR2', () => {
  for (const end = performance.now() + ${2 * HEARTBEAT_MS}; performance.now() < end; );
  process.stderr.write('blocked');
})`;

const pings = ({ frames }: RawPeer) => frames.filter(({ opcode }) => opcode === PING);
const pong = (peer: RawPeer) => peer.write(frame(pings(peer).at(-1)!.payload, { opcode: PONG }));

test('a server whose loop was blocked closes a peer that sent no pong, and none whose pong it has not read yet', async () => {
  const { child, line } = run(['serve', '--port', '0', '--heartbeat-ms', String(HEARTBEAT_MS)], {
    node: ['--import', `data:text/javascript,${encodeURIComponent(BLOCK)}`],
  });
  const url = String((await line('serving'))['url']);
  const peers = await Promise.all(Array.from({ length: PEERS }, () => connectRawWebSocket(url)));
  // Connected last, since a server that judges too early may only get to the first before it reads.
  const silent = await connectRawWebSocket(url);
  // A silent peer would be closed for another reason.
  for (const peer of [silent, ...peers]) await peer.write(json({ type: 'join', room: 'a' }));
  await Promise.all([silent, ...peers].map((peer) => peer.until(() => pings(peer).length > 0)));

  child.kill('SIGUSR2');
  const goesOn = once(child.stderr!, 'data');
  const before = peers.map((peer) => pings(peer).length);
  await Promise.all(peers.map(pong));
  await goesOn;

  // Its next ping shows that the server took the answer, whatever becomes of it after that.
  const isPinged = (peer: RawPeer, at: number) => pings(peer).length > before[at]!;
  const isJudged = (peer: RawPeer, at: number) => peer.code !== null || isPinged(peer, at);
  await Promise.all(peers.map((peer, at) => peer.until(() => isJudged(peer, at))));
  await silent.until(() => silent.code !== null);
  expect(silent.code).toBe(4201);
  expect(peers.filter(isPinged)).toHaveLength(PEERS);
});
