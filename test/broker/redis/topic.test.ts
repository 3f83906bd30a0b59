import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Position } from '../../../src/broker/broker.js';
import { type Commit, encodeRecord, parseCommit } from '../../../src/broker/redis/format.js';
import { type Log, Topic } from '../../../src/broker/redis/topic.js';
import { bytesInUse } from '../../support/heap.js';

/** Closed epochs remembered per room, as in the scripts. */
const CLOSED_EPOCHS = 4;

/** A room in Redis, and the messages in transit to the node. */
class Server {
  /** Messages lost with a primary. */
  gone = 0;
  epoch = 'e0';
  seq = 0;
  closed: Position[] = [];
  log: Commit[] = [];
  /** The next script runs in another term. */
  isOtherTerm = false;
  channel: Commit[] = [];
  /** Every publication ever made, by epoch and number. */
  readonly data = new Map<string, string>();
  #epochs = 0;
  #values = 0;

  enter(): Position | null {
    if (!this.isOtherTerm) return null;
    this.isOtherTerm = false;
    const was = { epoch: this.epoch, seq: this.seq };
    this.closed = [was, ...this.closed].slice(0, CLOSED_EPOCHS);
    this.#epochs += 1;
    this.epoch = `e${this.#epochs}`;
    return was;
  }

  publish(count: number, keep: number): void {
    const was = this.enter();
    let records = '';
    for (let n = 1; n <= count; n += 1) {
      this.#values += 1;
      const data = String(this.#values);
      this.data.set(`${this.epoch}/${this.seq + n}`, data);
      records += encodeRecord({ data, from: null });
    }
    const [first, last] = [this.seq + 1, this.seq + count];
    const commit = { first, last, epoch: this.epoch, at: 1, was, records };
    this.seq = last;
    if (keep > 0) this.log.push(commit);
    this.log = this.log.filter((one) => one.last > last - keep);
    this.channel.push(commit);
  }

  open(): Position {
    const was = this.enter();
    const { epoch, seq } = this;
    if (was !== null) {
      this.channel.push({ first: seq + 1, last: seq, epoch, at: 1, was, records: '' });
    }
    return { epoch, seq };
  }

  read(after: number, most: number): Log {
    const found = this.log.filter(({ last }) => last > after);
    const commits = found.slice(0, most);
    const { epoch, seq, closed } = this;
    const hasMore = found.length > most;
    return { epoch, seq, closed: [...closed], commits, hasMore };
  }

  /** The last commits are lost with their primary. */
  failOver(commits: number): void {
    for (let n = 0; n < commits; n += 1) {
      const gone = this.log.at(-1);
      if (gone === undefined || gone.epoch !== this.epoch || gone.last !== this.seq) break;
      if (gone.was !== null) break;
      this.log.pop();
      this.gone += gone.last - gone.first + 1;
      this.seq = gone.first - 1;
    }
    this.isOtherTerm = true;
  }

  forget(): void {
    this.#epochs += 1;
    Object.assign(this, { epoch: `e${this.#epochs}`, seq: 0, closed: [], log: [] });
    this.isOtherTerm = false;
  }
}

/** Records what a node receives and checks it. */
class Witness {
  at: Position | null = null;
  readonly delivered = new Set<string>();
  resets = 0;
  lost = 0;

  constructor(private readonly server: Server) {}

  deliver({ seq, epoch, data }: Position & { data: string }): void {
    expect({ seq, epoch }).toEqual({ seq: (this.at as Position).seq + 1, epoch: this.at?.epoch });
    expect(data).toBe(this.server.data.get(`${epoch}/${seq}`));
    expect(this.delivered.has(`${epoch}/${seq}`)).toBe(false);
    this.delivered.add(`${epoch}/${seq}`);
    this.at = { seq, epoch };
  }

  reset(position: Position, was: Position): void {
    expect(was).toEqual(this.at);
    // The surviving part of the old epoch was delivered or reported lost.
    const end = this.server.closed.find(({ epoch }) => epoch === was.epoch);
    if (end !== undefined) expect(was.seq).toBeGreaterThanOrEqual(end.seq);
    expect(position.epoch).not.toBe(was.epoch);
    this.at = position;
    this.resets += 1;
  }

  gone(to: number, messages: number): void {
    const { seq, epoch } = this.at as Position;
    expect(messages).toBe(to - seq);
    expect(messages).toBeGreaterThan(0);
    this.at = { seq: to, epoch };
    this.lost += messages;
  }
}

/** A node subscribed to one room, and the network in between. */
class World {
  readonly server = new Server();
  readonly witness = new Witness(this.server);
  readonly topic: Topic;
  isCut = false;
  wantsRead = false;
  /** The answer to a pending read. */
  answer: Log | null = null;

  constructor(readonly keep: number) {
    const { witness } = this;
    this.topic = new Topic('r', {
      deliver: (publication) => witness.deliver(publication),
      reset: (_, position, was) => witness.reset(position, was),
      lost: (_, to, messages) => witness.gone(to, messages),
      duplicate: () => {},
      backfilled: () => {},
      unreadable: () => {},
    });
    const position = this.server.open();
    witness.at = position;
    this.step(() => this.topic.opened(position));
  }

  step(step: () => boolean): void {
    let mustRead = true;
    try {
      mustRead = step();
    } catch (error) {
      if ((error as Error).message !== 'the message is malformed') throw error;
    }
    if (mustRead) {
      this.topic.suspend();
      this.wantsRead = true;
    }
  }

  deliverNext(): void {
    const commit = this.server.channel.shift();
    if (commit !== undefined && !this.isCut) this.step(() => this.topic.receive(commit));
  }

  cut(): void {
    this.isCut = true;
    this.server.channel = [];
    this.answer = null;
    this.wantsRead = false;
    this.topic.suspend();
  }

  connect(): void {
    if (!this.isCut) return;
    this.isCut = false;
    this.server.channel = [];
    const { epoch, seq } = this.server.open();
    const known = this.topic.known as Position;
    if (known.epoch === epoch && known.seq === seq) this.step(() => this.topic.unchanged());
    else this.step(() => true);
  }

  serve(most: number): void {
    if (this.isCut || !this.wantsRead || this.answer !== null) return;
    this.wantsRead = false;
    this.answer = this.server.read((this.topic.known as Position).seq, most);
  }

  answered(): void {
    const { answer } = this;
    if (answer === null) return;
    this.answer = null;
    this.step(() => this.topic.catchUp(answer));
  }

  /** Delivers everything in transit, then checks the position. */
  settle(): void {
    this.cutIfTermEnded();
    this.connect();
    for (let round = 0; round < 1000; round += 1) {
      while (this.server.channel.length > 0) this.deliverNext();
      this.serve(1);
      this.answered();
      if (this.wantsRead || this.answer !== null) continue;
      const position = this.server.open();
      if (this.server.channel.length > 0) continue;
      if (!this.topic.isBehind(position)) return;
      this.step(() => true);
    }
    throw new Error('it never settles');
  }

  /** A script of the old link is refused. */
  cutIfTermEnded(): void {
    if (this.server.isOtherTerm) this.cut();
  }
}

const KINDS = [
  ...['publish', 'publish', 'publish', 'deliver', 'deliver', 'deliver', 'serve', 'answer'],
  ...['cut', 'connect', 'drop', 'repeat', 'failOver', 'newTerm', 'forget', 'deleted', 'settle'],
  ...['garble', 'corrupt'],
] as const;
type Op = { what: (typeof KINDS)[number]; n: number };

const ops = (without: readonly string[] = []): fc.Arbitrary<Op[]> =>
  fc.array(
    fc.record({
      what: fc.constantFrom(...KINDS.filter((kind) => !without.includes(kind))),
      n: fc.integer({ min: 1, max: 3 }),
    }),
    { maxLength: 80 },
  ) as fc.Arbitrary<Op[]>;

function run(world: World, { what, n }: Op): void {
  const { server } = world;
  if (what === 'publish') server.publish(n, world.keep);
  else if (what === 'deliver') world.deliverNext();
  else if (what === 'serve') world.serve(n);
  else if (what === 'answer') world.answered();
  else if (what === 'cut') world.cut();
  else if (what === 'connect') world.connect();
  else if (what === 'drop') server.channel.shift();
  else if (what === 'settle') world.settle();
  else if (what === 'repeat') {
    const [next] = server.channel;
    if (next !== undefined) server.channel.splice(n, 0, next);
  } else if (what === 'garble' || what === 'corrupt') {
    // A malformed message in transit, or in the log as well.
    for (const messages of what === 'garble' ? [server.channel] : [server.channel, server.log]) {
      const last = messages.pop();
      if (last !== undefined) messages.push({ ...last, records: 'x' });
    }
  } else if (what === 'failOver' || what === 'newTerm') {
    // A lost primary closes its connections; one whose term was deleted does not.
    server.failOver(what === 'failOver' ? n - 1 : 0);
    if (what === 'failOver') world.cut();
  } else {
    server.forget();
    if (what === 'forget') world.cut();
  }
}

describe('a room at a node', () => {
  it('delivers everything once and in order, and reports losses exactly (V4, V20, V21)', () => {
    const seen = { resets: 0, lost: 0, delivered: 0 };
    fc.assert(
      fc.property(fc.constantFrom(0, 1, 5, 100), ops(), (keep, all) => {
        const world = new World(keep);
        const { server, topic, witness } = world;
        for (const one of all) run(world, one);
        world.settle();
        expect(topic.isLive).toBe(true);
        expect(topic.known).toEqual({ epoch: server.epoch, seq: server.seq });
        expect(witness.at).toEqual(topic.known);
        seen.resets += witness.resets;
        seen.lost += witness.lost;
        seen.delivered += witness.delivered.size;
      }),
      { numRuns: 2000 },
    );
    // The runs were not empty.
    expect(Math.min(seen.resets, seen.lost, seen.delivered)).toBeGreaterThan(100);
  });

  it('misses nothing that the log still has', () => {
    fc.assert(
      fc.property(ops(['forget', 'deleted', 'corrupt']), (all) => {
        const world = new World(1_000_000);
        const { server, witness } = world;
        for (const one of all) {
          run(world, one);
          if (server.closed.length === CLOSED_EPOCHS) break;
        }
        world.settle();
        expect(witness.lost).toBeLessThanOrEqual(server.gone);
        for (const { epoch, first, last } of server.log) {
          for (let seq = first; seq <= last; seq += 1) {
            expect(witness.delivered).toContain(`${epoch}/${seq}`);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('loses only what was lost in transit if no log is kept', () => {
    const world = new World(0);
    const { server, witness } = world;
    for (const n of [1, 2, 3]) server.publish(n, 0);
    world.deliverNext();
    server.channel.shift();
    world.settle();
    expect([...witness.delivered]).toEqual(['e0/1', 'e0/4', 'e0/5', 'e0/6']);
    expect(witness.lost).toBe(2);
  });

  it.each([
    ['x', 40],
    ['漢', 10],
  ])('holds back at most 1 MiB of %s, and rereads what it discarded (V3)', (text, count) => {
    const world = new World(1_000_000);
    const { server, topic, witness } = world;
    const big = text.repeat(64 * 1024);
    topic.suspend();
    for (let seq = 1; seq <= count; seq += 1) {
      const data = JSON.stringify(big + seq);
      server.data.set(`e0/${seq}`, data);
      const records = encodeRecord({ data, from: null });
      const commit = { first: seq, last: seq, epoch: 'e0', at: 1, was: null, records };
      server.seq = seq;
      server.log.push(commit);
      topic.receive(commit);
    }
    world.step(() => topic.unchanged());
    expect(world.wantsRead).toBe(true);
    world.settle();
    expect(witness.delivered.size).toBe(count);
    expect(witness.lost).toBe(0);
  });

  it('does not keep the message that began its epoch alive (V3)', async () => {
    const epoch = 'the-epoch-of-another-term';
    const record = encodeRecord({ data: 'x'.repeat(60_000), from: null });
    const events = {
      deliver() {},
      reset() {},
      lost() {},
      duplicate() {},
      backfilled() {},
      unreadable() {},
    };
    const topics = Array.from(
      { length: 500 },
      () => new Topic('a', events, { epoch: 'e0', seq: 3 }),
    );
    const before = await bytesInUse();
    for (const topic of topics) {
      topic.unchanged();
      const message = Buffer.from(`4 4 ${epoch} 1 e0:3\n${record}`).toString('latin1');
      expect(topic.receive(parseCommit(message))).toBe(false);
    }
    // Of the 30 MB of all messages.
    expect((await bytesInUse()) - before).toBeLessThan(5_000_000);
    expect(topics[0]?.known).toEqual({ epoch, seq: 4 });
  });
});
