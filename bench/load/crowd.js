import { setTimeout as sleep } from 'node:timers/promises';
import { Latency } from '../../dist/load/measure/latency.js';
import { markedData, numberedFrames } from './frames.js';
import { dialAll, openStreaming, openWebSocket, say } from './member.js';
import { dataSize, wires } from './wires.js';

/**
 * The members of one server, which every fan-out uses. They are spread over the rooms; the first one of
 * each room publishes. Messages are numbered and go to the rooms in turn, so that each member knows the
 * next number and detects every hole.
 *
 * @typedef {object} Gathering
 * @property {number} port
 * @property {keyof typeof wires} wire
 * @property {number} members in total, publishers and stalled ones included
 * @property {number} rooms
 * @property {number} size bytes of data in a message of roomcast; others carry as much on the wire
 * @property {number} [stalled] members that stop reading at `stall`
 */

const RING = 1 << 22; // send times kept; fewer messages are in flight
const STUCK_MS = 5000;
const OPEN = Number.NEGATIVE_INFINITY; // no closed loop: a delivery triggers no publish
const ALIVE_MS = 5000; // between pongs: servers may disconnect members that answer no ping for long

export class Crowd {
  /** Messages published; also the next message's number. */
  sent = 0;
  /** Messages read by members that have not stalled. */
  delivered = 0;
  /** Bytes read by all members. */
  bytes = 0;
  /** Deliveries that reading members have not received yet. */
  outstanding = 0;
  /** Deliveries that never arrived. */
  holes = 0;
  /** Numbers that arrived again or out of order. */
  disordered = 0;
  /** Deliveries that took longer than 1 s, while measuring. */
  overOneSecond = 0;
  /** Latency of deliveries while measuring, in microseconds, from the write of the message to its read. */
  latency = new Latency();
  /** How late messages were sent while measuring, in microseconds. */
  lateness = new Latency();
  measuring = false;
  /** Expected bytes of a delivery. */
  expectedBytes;

  #gathering;
  #wire;
  #readingPerRoom;
  #sentAt = new Float64Array(RING);
  /** Outstanding deliveries above which a closed loop waits. */
  #limit = OPEN;
  /** Sends the messages of an open loop that are due by `now`. */
  #sendDue = (/** @type {number} */ _now) => {};
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {import('./member.js').Member[]} */
  #members = [];
  /** @type {((number: number) => Buffer)[]} */
  #frames;

  /** @param {Gathering} gathering */
  constructor(gathering) {
    const { rooms, members, stalled = 0, size } = gathering;
    const wire = /** @type {import('./wires.js').Wire} */ (wires[gathering.wire]);
    this.#gathering = gathering;
    this.#wire = wire;
    this.#readingPerRoom = (members - stalled) / rooms;
    this.#frames = Array.from({ length: rooms }, (_, room) => {
      const name = roomName(room);
      const data = markedData(dataSize(wire, name, size));
      return numberedFrames(wire.publish(name, data), wire.opcode ?? 1);
    });
    this.expectedBytes = wire.delivered(roomName(0), dataSize(wire, roomName(0), size));
  }

  /**
   * Connects all members. A member counts as joined once it has received a message, because most servers
   * do not answer a join.
   *
   * @throws {Error} if a member never receives one
   */
  async gather() {
    const { rooms } = this.#gathering;
    const members = await this.#openAll();
    this.#members = members;
    for (let waited = 0; members.some((member) => member.last < 0); waited += 250) {
      if (waited > 4 * STUCK_MS) {
        const deaf = members.filter((member) => member.last < 0).length;
        throw new Error(`${deaf} of ${members.length} members never received a message`);
      }
      for (let room = 0; room < rooms; room++) this.#publish();
      await sleep(250);
    }
    setInterval(() => {
      for (const member of members) if (!member.stalled) member.sayAlive();
    }, ALIVE_MS).unref();
    const latest = (/** @type {number} */ room) => this.sent - rooms + room;
    await until(
      () => members.every((member) => member.last === latest(member.room)),
      'the last probe',
    );
    this.outstanding = 0;
    this.holes = 0;
  }

  /** Makes the stalled members stop reading. */
  stall() {
    const { members, stalled = 0 } = this.#gathering;
    for (const member of this.#members.slice(members - stalled)) member.stall();
  }

  /** Publishes until each member was sent that many bytes. @param {number} bytes */
  async fill(bytes) {
    const { rooms, size } = this.#gathering;
    const wireBytes = wires.roomcast.delivered(roomName(0), size);
    const end = this.sent + Math.ceil(bytes / wireBytes) * rooms;
    this.keepInFlight(8);
    while (this.sent < end) {
      const before = this.delivered;
      await until(() => this.delivered > before, 'a delivery while filling');
    }
    await this.end();
  }

  /** A closed loop: publishes the next message once another one has arrived everywhere. @param {number} messages */
  keepInFlight(messages) {
    this.#limit = messages * this.#readingPerRoom;
    this.#pump();
  }

  /** An open loop. @param {number} perSecond messages a second, each sent when due */
  keepRate(perSecond) {
    const rate = perSecond / 1000;
    const began = performance.now();
    const first = this.sent;
    this.#sendDue = (now) => {
      for (const due = first + Math.floor((now - began) * rate); this.sent < due; ) {
        const lateMs = now - began - (this.sent - first + 1) / rate;
        if (this.measuring) this.lateness.record(lateMs * 1000);
        this.#publish();
      }
    };
    this.#timer = setInterval(() => this.#sendDue(performance.now()), 1);
  }

  /** Stops publishing, and waits until all deliveries have arrived, or none has for 5 s. */
  async end() {
    this.#limit = OPEN;
    this.#sendDue = () => {};
    clearInterval(this.#timer);
    for (let seen = -1; this.outstanding > 0 && seen !== this.delivered; ) {
      seen = this.delivered;
      for (let i = 0; i < 20 && this.outstanding > 0; i++) await sleep(STUCK_MS / 20);
    }
  }

  #publish() {
    const room = this.sent % this.#gathering.rooms;
    const frame = /** @type {(number: number) => Buffer} */ (this.#frames[room]);
    this.#sentAt[this.sent & (RING - 1)] = performance.now();
    /** @type {import('./member.js').Member} */ (this.#members[room]).write(frame(this.sent));
    this.sent++;
    this.outstanding += this.#readingPerRoom;
  }

  #pump() {
    while (this.outstanding < this.#limit) this.#publish();
  }

  /** @type {import('./member.js').OnMessages} */
  #onMessages = (member, numbers, count, read) => {
    this.bytes += read;
    if (count === 0 || member.stalled) return;
    const now = performance.now();
    const { rooms } = this.#gathering;
    let expected = member.last + rooms;
    let due = count;
    for (let i = 0; i < count; i++) {
      const number = /** @type {number} */ (numbers[i]);
      if (number !== expected && member.last >= 0) {
        if (number < expected) {
          this.disordered++;
          due--;
        } else {
          const missing = (number - expected) / rooms;
          this.holes += missing;
          due += missing;
        }
      }
      member.last = number;
      expected = number + rooms;
      if (this.measuring) {
        const took = now - /** @type {number} */ (this.#sentAt[number & (RING - 1)]);
        this.latency.record(took * 1000);
        if (took > 1000) this.overOneSecond++;
      }
    }
    this.delivered += count;
    this.outstanding -= due;
    this.#pump();
    // Also here, not only from the timer: after a burst of reads all due messages would go out at once.
    this.#sendDue(now);
  };

  /** @returns {Promise<import('./member.js').Member[]>} */
  #openAll() {
    const { port, members, rooms } = this.#gathering;
    const wire = this.#wire;
    const onMessages = this.#onMessages;
    return dialAll(members, async (index) => {
      const room = index % rooms;
      const name = roomName(room);
      const opening = wire.opening(name);
      // Publishers always use WebSocket: the benchmark measures delivery.
      if (wire.streaming === true && index >= rooms) {
        return openStreaming({ port, path: wire.path(name), room, opening, onMessages });
      }
      const path = wire.path(name).replace('xhr_streaming', 'websocket');
      const member = await openWebSocket({ port, path, room, onMessages });
      say(member, opening, wire.opcode ?? 1);
      return member;
    });
  }
}

/**
 * @param {() => boolean} isDone
 * @param {string} what is awaited, for the error
 * @throws {Error} after 5 s
 */
async function until(isDone, what) {
  for (let waited = 0; !isDone(); waited += 10) {
    if (waited > STUCK_MS) throw new Error(`${what} did not come for ${STUCK_MS} ms`);
    await sleep(10);
  }
}

/** @param {number} room */
const roomName = (room) => `bench:${String(room).padStart(4, '0')}`;
