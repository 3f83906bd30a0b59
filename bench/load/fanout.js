import { setTimeout as sleep } from 'node:timers/promises';
import { residentMiB } from '../process.js';
import { markedData, numberedFrames } from './frames.js';
import { Histogram } from './histogram.js';
import { openStreaming, openWebSocket, say } from './member.js';
import { usageOf } from './usage.js';
import { dataSize, wires } from './wires.js';

/**
 * The load of every fan-out scenario, run as a process of its own: it is sent one Plan, answers one
 * Result and ends.
 *
 * Members are spread over the rooms; the first of each room publishes. Messages are numbered and go to
 * the rooms in turn, so a member knows which number comes next and every hole is seen.
 *
 * @typedef {object} Plan
 * @property {number} port
 * @property {number} pid of the server, whose CPU and memory are read from /proc
 * @property {keyof typeof wires} wire
 * @property {number} members all of them, publishers and stalled ones included
 * @property {number} rooms
 * @property {number} size bytes of data in a message of roomcast; others carry as much on the wire
 * @property {number} [stalled] members that stop reading before `fill`
 * @property {number} [fill] bytes to deliver to each member before warming up
 * @property {number} [window] closed loop: messages in flight in all
 * @property {number} [rate] open loop: messages a second in all; neither: members stay idle
 * @property {number} warm seconds of load that do not count
 * @property {number} seconds of load that do
 *
 * @typedef {import('./usage.js').Usage & Fanned} Result
 * @typedef {object} Fanned
 * @property {number} deliveries
 * @property {number} deliveriesPerSecond
 * @property {number} messagesPerSecond published
 * @property {number} deliveriesPerCpuSecond of the server
 * @property {number} cpuUs server CPU per delivery, microseconds
 * @property {number} bytes received per delivery
 * @property {number} expectedBytes
 * @property {number} p50Us latency of a delivery, from the write of the message to its read
 * @property {number} p99Us
 * @property {number} maxUs
 * @property {number} lateSendP99Us open loop: how far behind its schedule a message was sent
 * @property {number} missedOrLate deliveries to reading members that never came, or later than 1 s
 * @property {number} disordered numbers that came again or in the wrong order
 * @property {number} rssMiB at the end
 * @property {number} rssGrowthMiB since all members were joined
 * @property {number} connectionKiB growth a member, from before the first to the end
 */

const RING = 1 << 22; // send times kept; more messages are never in flight
const STUCK_MS = 5000;
const OPEN = Number.NEGATIVE_INFINITY; // no closed loop: nothing is sent for something received

/** @param {Plan} plan @returns {Promise<Result>} */
async function run(plan) {
  const { pid, rooms, warm, seconds } = plan;
  const wire = /** @type {import('./wires.js').Wire} */ (wires[plan.wire]);
  const opcode = wire.opcode ?? 1;
  const stalled = plan.stalled ?? 0;
  const reading = plan.members - stalled;
  const readingPerRoom = reading / rooms;
  const sentAt = new Float64Array(RING);
  const latency = new Histogram();
  const lateness = new Histogram();
  let sent = 0; // messages; the next one's number
  let outstanding = 0; // deliveries due to reading members
  let bytes = 0;
  let delivered = 0;
  let holes = 0;
  let disordered = 0;
  let overOneSecond = 0;
  let measuring = false;
  let limit = OPEN; // outstanding deliveries above which a closed loop waits
  /** Sends what is due by `now`, in an open loop. */
  let sendDue = (/** @type {number} */ _now) => {};

  /** @type {import('./member.js').OnMessages} */
  const onMessages = (member, numbers, count, read) => {
    bytes += read;
    if (count === 0 || member.stalled) return;
    const now = performance.now();
    let expected = member.last + rooms;
    let due = count;
    for (let i = 0; i < count; i++) {
      const number = /** @type {number} */ (numbers[i]);
      if (number !== expected && member.last >= 0) {
        if (number < expected) {
          disordered++;
          due--;
        } else {
          const missing = (number - expected) / rooms;
          holes += missing;
          due += missing;
        }
      }
      member.last = number;
      expected = number + rooms;
      if (measuring) {
        const took = now - /** @type {number} */ (sentAt[number & (RING - 1)]);
        latency.record(took * 1000);
        if (took > 1000) overOneSecond++;
      }
    }
    delivered += count;
    outstanding -= due;
    pump();
    // Not only when the timer has its turn: behind a burst of reads, what is due would leave as one.
    sendDue(now);
  };

  const rssBefore = residentMiB(pid);
  const members = await openAll(plan, wire, onMessages);
  const publishers = members.slice(0, rooms);
  const frames = publishers.map((_, room) => {
    const name = roomName(room);
    return numberedFrames(wire.publish(name, markedData(dataSize(wire, name, plan.size))), opcode);
  });

  const publish = () => {
    const room = sent % rooms;
    sentAt[sent & (RING - 1)] = performance.now();
    /** @type {import('./member.js').Member} */ (publishers[room]).write(
      /** @type {(number: number) => Buffer} */ (frames[room])(sent),
    );
    sent++;
    outstanding += readingPerRoom;
  };
  /** A closed loop publishes the next message as soon as another has arrived everywhere. */
  const pump = () => {
    while (outstanding < limit) publish();
  };
  /** Waits until nothing is outstanding, or nothing has come for as long as a message may take. */
  const drain = async () => {
    for (let seen = -1; outstanding > 0 && seen !== delivered; ) {
      seen = delivered;
      for (let i = 0; i < 20 && outstanding > 0; i++) await sleep(STUCK_MS / 20);
    }
  };

  // Everyone is in its room once it has heard a message: joining has no answer on most servers.
  for (let waited = 0; members.some((member) => member.last < 0); waited += 250) {
    if (waited > 4 * STUCK_MS) {
      const deaf = members.filter((member) => member.last < 0).length;
      throw new Error(`${deaf} of ${members.length} members never heard a message`);
    }
    for (let room = 0; room < rooms; room++) publish();
    await sleep(250);
  }
  const latest = (/** @type {number} */ room) => sent - rooms + room;
  await until(
    () => members.every((member) => member.last === latest(member.room)),
    'the last probe',
  );
  outstanding = 0;
  holes = 0;
  const rssJoined = residentMiB(pid);

  for (const member of members.slice(reading)) member.stall();
  if (plan.fill !== undefined) {
    const wireBytes = wires.roomcast.delivered(roomName(0), plan.size);
    const messages = Math.ceil(plan.fill / wireBytes) * rooms;
    limit = 8 * readingPerRoom;
    const end = sent + messages;
    pump();
    while (sent < end) {
      const before = delivered;
      await until(() => delivered > before, 'a delivery while filling');
    }
    limit = OPEN;
    await drain();
  }

  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  if (plan.window !== undefined) {
    limit = plan.window * readingPerRoom;
    pump();
  } else if (plan.rate !== undefined) {
    const rate = plan.rate / 1000;
    const began = performance.now();
    const first = sent;
    sendDue = (now) => {
      for (const due = first + Math.floor((now - began) * rate); sent < due; ) {
        if (measuring) lateness.record((now - began - (sent - first) / rate) * 1000);
        publish();
      }
    };
    timer = setInterval(() => sendDue(performance.now()), 1);
  }
  await sleep(warm * 1000);

  measuring = true;
  process.send?.({ state: 'measuring' });
  const used = usageOf(pid);
  const deliveredBefore = delivered;
  const sentBefore = sent;
  const bytesBefore = bytes;
  await sleep(seconds * 1000);
  const usage = used();
  const { elapsed, serverSeconds } = usage;
  const deliveries = delivered - deliveredBefore;
  const messages = sent - sentBefore;
  const read = bytes - bytesBefore;
  const rssMiB = residentMiB(pid);

  limit = OPEN;
  sendDue = () => {};
  clearInterval(timer);
  await drain();
  measuring = false;

  return {
    deliveries,
    deliveriesPerSecond: deliveries / elapsed,
    messagesPerSecond: messages / elapsed,
    deliveriesPerCpuSecond: deliveries / serverSeconds,
    cpuUs: (serverSeconds * 1e6) / deliveries,
    ...usage,
    bytes: read / deliveries,
    expectedBytes: wire.delivered(roomName(0), dataSize(wire, roomName(0), plan.size)),
    p50Us: latency.quantile(0.5),
    p99Us: latency.quantile(0.99),
    maxUs: latency.max,
    lateSendP99Us: lateness.quantile(0.99),
    missedOrLate: holes + outstanding + overOneSecond,
    disordered,
    rssMiB,
    rssGrowthMiB: rssMiB - rssJoined,
    connectionKiB: ((rssMiB - rssBefore) * 1024) / plan.members,
  };
}

/**
 * @param {() => boolean} isDone
 * @param {string} what is waited for
 * @throws {Error} when it is not so after 5 s
 */
async function until(isDone, what) {
  for (let waited = 0; !isDone(); waited += 10) {
    if (waited > STUCK_MS) throw new Error(`${what} did not come for ${STUCK_MS} ms`);
    await sleep(10);
  }
}

/** @param {number} room */
const roomName = (room) => `bench:${String(room).padStart(4, '0')}`;

const DIALS_AT_ONCE = 64;

/**
 * @param {Plan} plan
 * @param {import('./wires.js').Wire} wire
 * @param {import('./member.js').OnMessages} onMessages
 * @returns {Promise<import('./member.js').Member[]>}
 */
async function openAll(plan, wire, onMessages) {
  const opcode = wire.opcode ?? 1;
  /** @type {import('./member.js').Member[]} */
  const members = new Array(plan.members);
  let next = 0;
  const dialer = async () => {
    while (next < plan.members) {
      const index = next++;
      const room = index % plan.rooms;
      const name = roomName(room);
      const opening = wire.opening(name);
      // Publishers always speak WebSocket: what is measured is the way out.
      const streaming = wire.streaming === true && index >= plan.rooms;
      const path = streaming
        ? wire.path(name)
        : wire.path(name).replace('xhr_streaming', 'websocket');
      const { port } = plan;
      const member = streaming
        ? await openStreaming({ port, path, room, opening, onMessages })
        : await openWebSocket({ port, path, room, onMessages });
      if (!streaming) say(member, opening, opcode);
      members[index] = member;
    }
  };
  await Promise.all(Array.from({ length: DIALS_AT_ONCE }, dialer));
  return members;
}

process.once('message', async (/** @type {Plan} */ plan) => {
  const result = await run(plan);
  process.send?.(result, () => process.exit());
});
