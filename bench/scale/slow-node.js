import { Redis } from './redis.js';

/** A node in a process of its own, which can be stopped. Subscribes to the 50 rooms. */

const broker = await new Redis(String(process.argv[2])).node();
for (let n = 0; n < 50; n += 1) {
  await broker.subscribe(`room ${n}`, new AbortController().signal);
}
process.send?.('in its rooms');
