/** The server lines of the live page, grouped from the reports of their nodes. */
import { expect, test } from 'vitest';
import { serversOf } from '../../src/http/servers.js';

let nodes = 0;
const node = (server: string, slot: number | null, heardMs: number, members = 1) => ({
  ...{ node: String(nodes++), server, slot, heardMs, members },
  ...{ version: '1', upMs: 1000 * nodes },
});
const told = (all: ReturnType<typeof node>[]) =>
  serversOf(all).map(({ server, workers, missing, members }) => [
    server,
    workers,
    missing,
    members,
  ]);

test('groups the workers of a server into one line; servers in one process stay separate', () => {
  const all = [node('b', null, 0), node('a', 0, 0, 2), node('a', 1, 0, 3), node('b', null, 0)];
  expect(told(all)).toEqual([
    ['a', 2, 0, 5],
    ['b', 1, 0, 1],
    ['b', 1, 0, 1],
  ]);
});

test('a node without heartbeat is missing, unless another node has its slot', () => {
  const all = [
    node('a', 0, 2000),
    node('a', 0, 60_000),
    node('a', 1, 20_000),
    node('b', 0, 40_000),
  ];
  expect(told(all)).toEqual([
    ['a', 1, 1, 1],
    ['b', 0, 1, 0],
  ]);
  expect(serversOf(all)[1]).toMatchObject({ upMs: null, heardMs: 40_000 });
});
