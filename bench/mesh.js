import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryBroker } from '../dist/broker/memory.js';
import { MeshBroker } from '../dist/broker/mesh/mesh.js';
import { slotOf } from '../dist/broker/mesh/slots.js';

/**
 * CPU cost of a message from one worker to another: both ends together, which are in this one process,
 * over a real unix socket. Messages of 128 B, some in flight at a time.
 */

const MESSAGES = 100_000;
const data = JSON.stringify('x'.repeat(126));
const folder = mkdtempSync(join(tmpdir(), 'mesh-'));
const nodes = [0, 1].map((slot) => new MeshBroker({ slot, slots: 2, inner: new MemoryBroker() }));
const [owner, other] = /** @type {[MeshBroker, MeshBroker]} */ (nodes);
for (const [slot, node] of nodes.entries()) await node.listen(join(folder, `${slot}`));
for (const [slot, node] of nodes.entries()) node.moved(1 - slot, join(folder, `${1 - slot}`));
const names = Array.from({ length: 100 }, (_, n) => `room ${n}`);
const room = /** @type {string} */ (names.find((name) => slotOf(name, 2) === 0));
let delivered = 0;
owner.onDeliver(() => {});
other.onDeliver(() => {
  delivered += 1;
});
await other.subscribe(room, new AbortController().signal);

/** @param {MeshBroker} from @param {number} window @param {number} count */
async function cost(from, window, count) {
  delivered = 0;
  const began = process.cpuUsage();
  for (let sent = 0; sent < count; sent += window) {
    const options = { deadline: performance.now() + 60_000 };
    const batch = Array.from({ length: window }, () =>
      from.publish(room, { data, from: null }, options),
    );
    await Promise.all(batch);
    while (delivered < sent + window) await new Promise((resolve) => setImmediate(resolve));
  }
  const { user, system } = process.cpuUsage(began);
  return ((user + system) / count).toFixed(1);
}

for (const [what, from] of /** @type {const} */ ([
  ['from its owner to another worker', owner],
  ['published at another worker: there, its answer and itself back', other],
])) {
  for (const window of [64, 1]) {
    const count = window === 1 ? MESSAGES / 10 : MESSAGES;
    // The first run only warms up the compiler.
    await cost(from, window, count);
    process.stdout.write(`${what}, ${window} at a time: ${await cost(from, window, count)} µs\n`);
  }
}
rmSync(folder, { recursive: true });
process.exit(0);
