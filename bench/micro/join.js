/**
 * A join and the leave after it, from the text of the commands to the replies in the control lane: in a
 * room with other members, without a position and with the room's current one.
 */

import { MemoryBroker } from '../../dist/broker/memory.js';
import { Detector } from '../../dist/lock/index.js';
import { LoopClock } from '../../dist/loop-clock.js';
import { Recorder } from '../../dist/metrics/recorder.js';
import { commandLimits, defaults } from '../../dist/options/config.js';
import { JsonCodec } from '../../dist/protocol/json.js';
import { Hub } from '../../dist/room/hub.js';
import { Member } from '../../dist/room/member.js';
import { commandOf } from '../../dist/session/commands/index.js';
import { TokenBucket } from '../../dist/token-bucket.js';
import { plainFraming } from '../../dist/transport/websocket-frame.js';
import { sink } from './harness.js';

const ROOM = 'chat:lobby';
const N = 1000;

/** Accepts every write. */
const transport = {
  name: 'websocket',
  framing: plainFraming,
  remoteAddress: '192.0.2.1',
  writable: true,
  progressAt: Number.NEGATIVE_INFINITY,
  unconfirmedMessages: 0,
  /** @param {Buffer} batch */
  write(batch) {
    sink.sum += batch.length;
    return true;
  },
  close() {},
  reset() {},
};

/** @param {number} historyMessages */
async function place(historyMessages) {
  const config = { ...defaults, historyMessages, joinRate: 0 };
  const codec = new JsonCodec();
  const broker = new MemoryBroker(config);
  const detector = new Detector({ mode: 'off' });
  const hub = new Hub(config, broker, codec, new Recorder(), new LoopClock(), () => {}, detector);
  /** @param {string} id */
  const member = (id) => {
    const made = new Member(
      id,
      /** @type {import('../../dist/transport/transport.js').Transport} */ (transport),
      hub.memberContext,
    );
    hub.memberships.add(made);
    return made;
  };
  for (let n = 0; n < 100; n += 1) await hub.memberships.join(member(`other ${n}`), ROOM);
  for (let n = 0; n < 2000; n += 1) await hub.publish(null, ROOM, `"${n}"`);
  const own = member('own');
  const bucket = new TokenBucket(0);
  /** @type {import('../../dist/session/commands/command.js').Caller} */
  const caller = {
    member: own,
    hub,
    config,
    publishes: bucket,
    joins: bucket,
    histories: bucket,
    asking: null,
    authenticate: async () => {},
    reply: (id, event) => {
      if (id !== undefined) own.send(event);
    },
  };
  const limits = commandLimits(config);
  /** @param {string} text */
  const say = (text) => {
    const asked = codec.decode(text);
    if (!('fields' in asked)) throw asked.refusal;
    const command = commandOf(asked.fields, text.length, limits);
    command.run(caller, asked.id, command.check(asked.fields, limits));
  };
  const { seq, epoch } = /** @type {import('../../dist/room/room.js').Room} */ (
    hub.rooms.get(ROOM)
  );
  return { say, own, since: { seq, epoch } };
}

/** @param {{ say(text: string): void, own: Member }} where @param {object} [more] */
function joining({ say, own }, more = {}) {
  const join = JSON.stringify({ type: 'join', id: 1, room: ROOM, ...more });
  const leave = JSON.stringify({ type: 'leave', id: 2, room: ROOM });
  return (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) {
      say(join);
      say(leave);
      own.outbox.drain();
    }
  };
}

/** @returns {Promise<import('./harness.js').Case[]>} */
export async function cases() {
  const [none, kept] = await Promise.all([place(0), place(1000)]);
  return [
    { name: 'join and leave', n: N, run: joining(none) },
    { name: 'the same with a position', n: N, run: joining(none, { since: none.since }) },
    { name: 'join and leave, messages kept', n: N, run: joining(kept) },
    { name: 'the same with a position, kept', n: N, run: joining(kept, { since: kept.since }) },
  ];
}
