import { MemoryBroker } from '../../../src/broker/memory.js';
import { boardContract } from '../../contract/board.js';
import { TestMesh } from '../../support/mesh.js';

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
