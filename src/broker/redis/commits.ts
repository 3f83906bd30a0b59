/**
 * Publishes to Redis. A room has one commit in flight; publications made meanwhile form the next one.
 * That lowers the cost per message of a busy room, and a publication that was never sent certainly
 * never appears.
 *
 * V22: a commit has a number. If the link ends before the answer, it is resent with that number over
 * the next link, until its deadline, after which Redis refuses it too. It fails with
 * `broker_unavailable` if it certainly was not and will not be published, else with `broker_uncertain`.
 * V3: pending commits are bounded in count and bytes; past that a publish is refused at once with
 * `room_busy`.
 *
 * Not here: the connections (`link.ts`), deliveries (`topic.ts`).
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

/** Most publications and bytes in one commit. */
const COMMIT_MESSAGES = 64;
const COMMIT_BYTES = 64 * 1024;
/** Most unanswered publications and bytes. */
export const MAX_UNSETTLED = 4096;
export const MAX_UNSETTLED_BYTES = 8 * 1024 * 1024;
/** Interval of the sweep for expired publications, in milliseconds. */
const SWEEP_MS = 50;
/** Tolerated error of our estimate of the Redis clock, in milliseconds. */
const CLOCK_MS = 1000;
/** Error replies that mean nothing was done. After any other error the outcome is unknown. */
const UNDONE = /^(OOM|NOREPLICAS|MISCONF|READONLY|TERM|NOSCRIPT|LOADING|MASTERDOWN|BUSY|NOAUTH)\b/;

export interface CommitsConfig {
  /** Id of this incarnation of the node; no other ever has the same. */
  readonly node: string;
  readonly keys: Keys;
  kept(room: string): Kept;
  /** How long Redis remembers an unused room, in milliseconds. */
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
  /** The earliest deadline of its entries, by `nowMs()`. */
  readonly deadline: number;
  /** Times sent. After a resend no refusal is certain any more. */
  sent: number;
}

/** Pending publications of one room. */
interface Lane {
  readonly room: string;
  commit: Commit | null;
  waiting: Entry[];
}

export class Commits {
  readonly #config: CommitsConfig;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes to check at the end of this turn for something to send. */
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

  /** Unanswered publications. */
  get unsettled(): number {
    return this.#unsettled;
  }

  /** Bytes of the unanswered publications. */
  get unsettledBytes(): number {
    return this.#bytes;
  }

  /** Sends commits over this link from now on; unanswered ones first. */
  attach(link: Link): void {
    this.#link = link;
    for (const lane of [...this.#lanes.values()]) {
      if (lane.commit !== null) void this.#send(lane, lane.commit, link);
    }
    for (const lane of this.#lanes.values()) this.#isReady(lane);
  }

  /**
   * The link has ended. Unsent publications are refused, since they certainly are not published; sent
   * commits wait for the next link.
   */
  detach(): void {
    this.#link = null;
    for (const lane of this.#lanes.values()) {
      const { waiting } = lane;
      lane.waiting = [];
      for (const entry of waiting) this.#refuse(entry, unavailable('the connection has ended'));
      this.#forgetIfIdle(lane);
    }
  }

  /**
   * Refuses new publishes. Resolves when every pending one is answered, at the latest at its deadline.
   */
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
    // All publications to a room in this turn go into one commit.
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

  /**
   * Forms the next commit of a lane with waiting publications. A publication with a `uid` gets its own
   * commit.
   */
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
      // The next link resends it.
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
      // Redis considers it late, and nothing was done. By our updated estimate of its clock it may
      // still be in time.
      if (nowMs() < commit.deadline && Number(now) < link.atRedis(commit.deadline)) {
        void this.#send(lane, commit, link);
        return;
      }
      const why = 'it reached Redis after its deadline';
      this.#fail(lane, commit, commit.sent === 1 ? unavailable(why) : uncertain(why));
      return;
    }
    // If its uid was already known, the answer is one number, of a commit of any size.
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
   * Ends expired publishes: slightly early if never sent, so that the publisher gets a certain refusal
   * before its own deadline; at the deadline if sent. Commits that are sent after an expired one still
   * reach Redis after it.
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
  new Refusal('broker_unavailable', `The message was not published: ${why}.`);

const uncertain = (why: string) =>
  new Refusal('broker_uncertain', `The message may or may not have been published: ${why}.`);
