import { MemoryBroker } from '../../../src/broker/memory.js';
import { defaults } from '../../../src/options/config.js';
import { brokerContract, type Keeping } from '../../contract/broker.js';
import { TestMesh } from '../../support/mesh.js';

const memory = (keeping?: Keeping) =>
  new MemoryBroker({ ...defaults, historyMessages: keeping?.messages ?? 0 });

for (const first of [0, 1, 2]) {
  brokerContract(
    `mesh over memory, seen from slot ${first}`,
    async (keeping) => {
      const mesh = await TestMesh.start(3, () => memory(keeping));
      let next = first;
      return {
        node: async () => mesh.nodes[next++ % 3] as (typeof mesh.nodes)[0],
        settle: () => mesh.settle(),
        close: () => mesh.close(),
      };
    },
    { nodes: 3, history: true },
  );
}
