/**
 * Publications on their way to Redis. A room has one commit under way; what is published meanwhile
 * goes as the next one, so that a busy room costs Redis less a message, and what was never sent is
 * certain never to be seen.
 *
 * V22: a commit has a number, and one that got no answer because the link ended is sent again with that
 * number over the next link, until its deadline, by which Redis refuses it too. Told of it is
 * `broker_unavailable` where it certainly was not and will not be published, else `broker_uncertain`.
 * V3: bounded by commits and bytes; past that a publish is refused `room_busy` at once.
 *
 * Not here: the connections (`link.ts`), what is delivered (`topic.ts`).
 */
import { Refusal, shuttingDown } from '../../errors.js';
import { clearInterval, nowMs, setImmediate, setInterval } from '../../time.js';
import { type Payload, type Position, type PublishOptions, UID_MS } from '../broker.js';
import { encodeRecord } from './format.js';
import { freshEpoch } from './fresh-epoch.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';
import type { Kept } from './numbers.js';
import { PUBLISH } from './scripts.js';

/** Most publications, and bytes of them, in one commit. */
const COMMIT_MESSAGES = 64;
const COMMIT_BYTES = 64 * 1024;
/** Most publications without an answer, and bytes of them. */
export const MAX_UNSETTLED = 4096;
export const MAX_UNSETTLED_BYTES = 8 * 1024 * 1024;
/** How often is looked for publications whose time is over. */
const SWEEP_MS = 50;
/** How far the clock of Redis may be from what is known of it, in milliseconds. */
const CLOCK_MS = 1000;
/** Answers of Redis that say: nothing has been done. Any other error leaves it open. */
const UNDONE = /^(OOM|NOREPLICAS|MISCONF|READONLY|TERM|NOSCRIPT|LOADING|MASTERDOWN|BUSY|NOAUTH)\b/;

export interface CommitsConfig {
  /** The incarnation of this node; no other ever had the name. */
  readonly node: string;
  readonly keys: Keys;
  kept(room: string): Kept;
  /** How long a room nobody uses is remembered, in milliseconds. */
  readonly idleRoomMs: number;
  /** The longest deadline of a publish. */
  readonly timeoutMs: number;
  uncertain(messages: number): void;
}

interface Entry {
  readonly record: string;
  readonly bytes: number;
  readonly deadline: number;
  readonly uid: string | undefined;
  resolve(position: Position): void;
  reject(refusal: Refusal): void;
}

interface Commit {
  readonly number: number;
  readonly entries: readonly Entry[];
  readonly records: string;
  /** The first of its deadlines, by `nowMs()`. */
  readonly deadline: number;
  /** How often it was sent: more than once, and no refusal is certain any more. */
  sent: number;
}

/** The publications of one room. */
interface Lane {
  readonly room: string;
  commit: Commit | null;
  waiting: Entry[];
}

export class Commits {
  readonly #config: CommitsConfig;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes that may have something to send at the end of this turn. */
  readonly #ready = new Set<Lane>();
  #link: Link | null = null;
  #numbers = 0;
  #unsettled = 0;
  #bytes = 0;
  #sweep: NodeJS.Timeout | null = null;
  #isClosing = false;
  #settled: (() => void) | null = null;

  constructor(config: CommitsConfig) {
    this.#config = config;
  }

  /** @throws Refusal `room_busy`, `broker_unavailable`, `shutting_down`; as a rejection also `broker_uncertain` */
  publish(room: string, payload: Payload, { deadline, uid }: PublishOptions): Promise<Position> {
    if (this.#isClosing) throw shuttingDown();
    if (this.#link === null) throw unavailable('there is no connection to Redis');
    if (this.#unsettled >= MAX_UNSETTLED || this.#bytes >= MAX_UNSETTLED_BYTES) {
      throw new Refusal(
        'room_busy',
        `${this.#unsettled} messages of ${this.#bytes} bytes wait for Redis; ${MAX_UNSETTLED} of ${MAX_UNSETTLED_BYTES} are allowed.`,
      );
    }
    const record = encodeRecord(payload);
    const bytes = Buffer.byteLength(record);
    this.#unsettled += 1;
    this.#bytes += bytes;
    this.#sweep ??= setInterval(() => this.#giveUpLate(), SWEEP_MS);
    return new Promise((resolve, reject) => {
      const lane = this.#lane(room);
      lane.waiting.push({ record, bytes, deadline, uid, resolve, reject });
      this.#isReady(lane);
    });
  }

  /** Publications without an answer. */
  get unsettled(): number {
    return this.#unsettled;
  }

  /** Bytes of them. */
  get unsettledBytes(): number {
    return this.#bytes;
  }

  /** From here on this is where commits go; those that got no answer go first. */
  attach(link: Link): void {
    this.#link = link;
    for (const lane of [...this.#lanes.values()]) {
      if (lane.commit !== null) void this.#send(lane, lane.commit, link);
    }
    for (const lane of this.#lanes.values()) this.#isReady(lane);
  }

  /** The link has ended: what was not sent certainly is not published; the rest waits for the next one. */
  detach(): void {
    this.#link = null;
    for (const lane of this.#lanes.values()) {
      const { waiting } = lane;
      lane.waiting = [];
      for (const entry of waiting) this.#refuse(entry, unavailable('the connection has ended'));
      this.#forgetIfIdle(lane);
    }
  }

  /** Takes no more; resolves when everything is answered, at the latest by the deadlines. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#unsettled > 0) {
      await new Promise<void>((resolve) => {
        this.#settled = resolve;
      });
    }
    this.#stopSweeping();
  }

  #stopSweeping(): void {
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#sweep = null;
  }

  #lane(room: string): Lane {
    let lane = this.#lanes.get(room);
    if (lane === undefined) {
      lane = { room, commit: null, waiting: [] };
      this.#lanes.set(room, lane);
    }
    return lane;
  }

  #isReady(lane: Lane): void {
    // All that is published to a room in this turn goes in one commit.
    if (this.#ready.size === 0) setImmediate(() => this.#sendReady());
    this.#ready.add(lane);
  }

  #sendReady(): void {
    for (const lane of this.#ready) {
      if (this.#link === null) break;
      if (lane.commit === null && lane.waiting.length > 0) {
        lane.commit = this.#cut(lane);
        void this.#send(lane, lane.commit, this.#link);
      }
    }
    this.#ready.clear();
  }

  /** The next commit of a lane that has something waiting. A publication with a `uid` goes alone. */
  #cut(lane: Lane): Commit {
    let count = 0;
    let bytes = 0;
    let deadline = Number.POSITIVE_INFINITY;
    for (const entry of lane.waiting) {
      const isFull = count >= COMMIT_MESSAGES || bytes + entry.bytes > COMMIT_BYTES;
      if (count > 0 && (isFull || entry.uid !== undefined)) break;
      count += 1;
      bytes += entry.bytes;
      deadline = Math.min(deadline, entry.deadline);
      if (entry.uid !== undefined) break;
    }
    const entries = lane.waiting.splice(0, count);
    this.#numbers += 1;
    const records = entries.map(({ record }) => record).join('');
    return { number: this.#numbers, entries, records, deadline, sent: 0 };
  }

  async #send(lane: Lane, commit: Commit, link: Link): Promise<void> {
    const sentAt = nowMs();
    if (commit.sent > 0 && sentAt >= commit.deadline) {
      this.#fail(lane, commit, uncertain('no answer before its deadline'));
      return;
    }
    commit.sent += 1;
    const { keys, node, idleRoomMs, timeoutMs } = this.#config;
    const { room } = lane;
    const { messages, ms, bytes } = this.#config.kept(room);
    const names = [keys.term, keys.meta(room), keys.log(room), keys.channel(room)];
    const args = [
      freshEpoch(),
      String(link.atRedis(commit.deadline)),
      `n:${node}`,
      String(commit.number),
      String(commit.entries.length),
      commit.records,
      String(messages),
      String(ms),
      String(bytes),
      String(idleRoomMs),
      String(timeoutMs + CLOCK_MS),
    ];
    const uid = commit.entries[0]?.uid;
    if (uid !== undefined) {
      names.push(keys.uid(room, uid));
      args.push(String(UID_MS));
    }
    try {
      const reply = await link.run(PUBLISH, names, args);
      this.#answered(lane, commit, link, String(reply), sentAt);
    } catch (error) {
      // The next link sends it again.
      if (!link.isOpen) return;
      const { message } = error as Error;
      const isCertain = UNDONE.test(message) && commit.sent === 1;
      this.#fail(lane, commit, isCertain ? unavailable(message) : uncertain(message));
    }
  }

  #answered(lane: Lane, commit: Commit, link: Link, reply: string, sentAt: number): void {
    if (lane.commit !== commit) return;
    const [now, first, , epoch] = reply.split(' ');
    link.setClock(Number(now), sentAt);
    if (first === undefined || epoch === undefined) {
      // Redis finds it late. Nothing has happened; by what is known of its clock now it may not be.
      if (nowMs() < commit.deadline && Number(now) < link.atRedis(commit.deadline)) {
        void this.#send(lane, commit, link);
        return;
      }
      const why = 'it came to Redis after its deadline';
      this.#fail(lane, commit, commit.sent === 1 ? unavailable(why) : uncertain(why));
      return;
    }
    // With a uid known from before it is one number, of a commit of whatever size.
    let seq = Number(first);
    for (const entry of commit.entries) {
      this.#settle(entry);
      entry.resolve({ seq, epoch });
      seq += 1;
    }
    this.#done(lane);
  }

  #fail(lane: Lane, commit: Commit, refusal: Refusal): void {
    if (lane.commit !== commit) return;
    if (refusal.code === 'broker_uncertain') this.#config.uncertain(commit.entries.length);
    for (const entry of commit.entries) this.#refuse(entry, refusal);
    this.#done(lane);
  }

  #refuse(entry: Entry, refusal: Refusal): void {
    this.#settle(entry);
    entry.reject(refusal);
  }

  #settle(entry: Entry): void {
    this.#unsettled -= 1;
    this.#bytes -= entry.bytes;
    if (this.#unsettled === 0) this.#settled?.();
  }

  #done(lane: Lane): void {
    lane.commit = null;
    if (lane.waiting.length > 0) this.#isReady(lane);
    else this.#forgetIfIdle(lane);
  }

  #forgetIfIdle(lane: Lane): void {
    if (lane.commit === null && lane.waiting.length === 0) this.#lanes.delete(lane.room);
  }

  /**
   * Ends what has waited too long: a little early where it was never sent, so that its publisher hears
   * that it is certain; at the deadline where it was. What is sent behind it meanwhile comes to Redis
   * behind it.
   */
  #giveUpLate(): void {
    if (this.#unsettled === 0) {
      this.#stopSweeping();
      return;
    }
    const now = nowMs();
    for (const lane of [...this.#lanes.values()]) {
      const late = lane.waiting.filter(({ deadline }) => deadline <= now + 2 * SWEEP_MS);
      if (late.length > 0) {
        lane.waiting = lane.waiting.filter((entry) => !late.includes(entry));
        for (const entry of late) this.#refuse(entry, unavailable('Redis does not answer'));
        this.#forgetIfIdle(lane);
      }
      const { commit } = lane;
      if (commit !== null && commit.deadline <= now) {
        this.#fail(lane, commit, uncertain('Redis has not answered by its deadline'));
      }
    }
  }
}

const unavailable = (why: string) =>
  new Refusal('broker_unavailable', `It is not published: ${why}.`);

const uncertain = (why: string) =>
  new Refusal('broker_uncertain', `It may have been published, or not: ${why}.`);
