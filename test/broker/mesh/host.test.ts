/** The owner's end of a link whose other end reads nothing, and sends nonetheless. */
import type { Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { expect, it } from 'vitest';
import { MemoryBroker } from '../../../src/broker/memory.js';
import { MeshBoard } from '../../../src/broker/mesh/board.js';
import { KIND, VERSION } from '../../../src/broker/mesh/frames.js';
import { Host } from '../../../src/broker/mesh/host.js';
import { Link } from '../../../src/broker/mesh/link.js';
import { Owner } from '../../../src/broker/mesh/owner.js';
import { Signal } from '../../support/signal.js';

const ROOM = 'chat:lobby';
const TEXT = JSON.stringify('x'.repeat(100_000));

/** A host, and the link of another worker to it that has opened a room and now reads no more. */
async function stalled() {
  const [near, far] = duplexPair();
  const broker = new MemoryBroker();
  const owner = new Owner(broker);
  const ignore = () => {};
  const host = new Host(near as Socket, owner, broker, new MeshBoard(1000), ignore, ignore);
  const kinds = new Map<number, string>(Object.entries(KIND).map(([name, kind]) => [kind, name]));
  const read: string[] = [];
  const changed = new Signal();
  const link = new Link(far as Socket, {
    frame(kind, reader) {
      read.push(`${kinds.get(kind)} ${reader.u32()}`);
      changed.fire();
    },
    drained: ignore,
    ended: ignore,
  });
  link.begin(KIND.hello).u32(VERSION).end();
  link.begin(KIND.open).u32(1).text(ROOM).byte(0).end();
  await changed.until(() => read.length > 0);
  far.pause();
  const publish = () =>
    broker.publish(ROOM, { data: TEXT, from: null }, { deadline: Number.POSITIVE_INFINITY });
  while (!host.isFull) publish();
  const last = publish();
  return {
    link,
    owner,
    last,
    ask: () =>
      link
        .begin(KIND.ask)
        .u32(7)
        .rest(JSON.stringify({ what: 'settled', room: ROOM }))
        .end(),
    close: () => link.begin(KIND.close).u32(1).end(),
    /** Reads on; resolves with what has been read once the question is answered. */
    async answered() {
      far.resume();
      await changed.until(() => read.includes('answer 7'));
      return read;
    },
  };
}

it('a room that has dropped something settles when it is closed (V8)', async () => {
  const { ask, close, owner, answered } = await stalled();
  ask();
  close();
  await expect.poll(() => owner.rooms).toBe(0);
  expect(await answered()).not.toContain('lost 1');
});

it('a room closed and opened again settles once its later losses are announced (V21)', async () => {
  const { link, ask, close, owner, last, answered } = await stalled();
  ask();
  close();
  const before = { epoch: last.epoch, seq: last.seq - 1 };
  link.begin(KIND.open).u32(2).text(ROOM).byte(1).position(before).end();
  link.flush();
  await expect.poll(() => owner.positionOf(ROOM)?.seq).toBe(last.seq);
  expect((await answered()).slice(-3)).toEqual(['opened 2', 'lost 2', 'answer 7']);
});
