import { expect, it } from 'vitest';
import { MemoryBroker } from '../../../src/broker/memory.js';
import { boardContract } from '../../contract/board.js';
import { roomOf, TestMesh } from '../../support/mesh.js';

boardContract(
  'mesh over memory',
  async (nodes) => {
    const mesh = await TestMesh.start(nodes, () => new MemoryBroker());
    return {
      boards: mesh.nodes.map(({ board }) => board),
      kill: async (node) => mesh.kill(node),
      close: () => mesh.close(),
    };
  },
  { runs: 30 },
);

it('a link that is full at once still sends the id of its worker', async () => {
  const mesh = await TestMesh.start(2, () => new MemoryBroker());
  const [before, other] = mesh.nodes;
  const share = { user: 'u', connections: 1, since: 1, at: 2 };
  const has = { told() {}, gone() {}, own: () => [share], rooms: () => ['watched'] };
  other?.board.attach(has);
  mesh.kill(0);
  await expect.poll(() => other?.missing).toEqual([0]);
  // More than a link can hold, all owned by the dead worker.
  for (let n = 0; n < 200; n += 1) {
    const room = roomOf(0, 2, `${n}${'x'.repeat(60_000)}`);
    void other?.subscribe(room, new AbortController().signal);
  }
  const told: string[] = [];
  const node = await mesh.replace(0);
  node.board.attach({ ...has, told: (room, node) => told.push(`${room} at ${node}`) });
  await expect.poll(() => told).toHaveLength(1);
  expect(told[0]).toMatch(/^watched at [0-9a-f]{16}$/);
  await Promise.all([before?.close(), mesh.close()]);
});
