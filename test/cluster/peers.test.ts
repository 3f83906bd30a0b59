/**
 * Queries between workers, over real unix sockets with a virtual clock: which workers are asked, which
 * are asked again and until when, and that a new worker gets the revocations (V15).
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Alarms } from '../../src/auth/alarms.js';
import { Revocations } from '../../src/auth/revocations.js';
import { listenersIn, pathOf } from '../../src/cluster/messages.js';
import { Peers } from '../../src/cluster/peers.js';
import { takeRevocations } from '../../src/cluster/take-revocations.js';
import { People } from '../../src/session/people.js';
import { Signal } from '../support/signal.js';

const EVERYWHERE = { method: 'GET', url: '/it', isEverywhere: true } as const;

let folder: string;
let ends: (() => unknown)[];
const heard = new Signal();
/** Slots of the workers that were asked, in order. */
let asked: number[];
let missed: number;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  folder = mkdtempSync(join(tmpdir(), 'peers-'));
  [ends, asked, missed] = [[], [], 0];
});
afterEach(async () => {
  for (const end of ends) await end();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
  rmSync(folder, { recursive: true });
});

const json =
  (status: number, body: unknown = {}): RequestListener =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
const silence: RequestListener = () => {};

/** A worker with a fixed answer, which the test may change. */
class Other {
  readonly #server: Server;
  answer: RequestListener;

  private constructor(slot: number, answer: RequestListener) {
    this.answer = answer;
    this.#server = createServer((request, response) => {
      asked.push(slot);
      this.answer(request, response);
      heard.fire();
    });
    ends.push(() => this.end());
  }

  static async start(slot: number, incarnation: number, answer: RequestListener): Promise<Other> {
    const other = new Other(slot, answer);
    other.#server.listen(pathOf(folder, 'h', slot, incarnation));
    await once(other.#server, 'listening');
    return other;
  }

  end(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Starts the worker of slot 0 of three; `table` lists the incarnations in all slots. */
async function start(table: (number | null)[] = [1, 2, 3], pathPrefix = '/'): Promise<Peers> {
  const own = pathOf(folder, 'h', 0, 9);
  const peers = new Peers({
    slot: 0,
    slots: 3,
    pathPrefix,
    pathOf(slot) {
      const incarnation = table[slot];
      return incarnation == null ? null : pathOf(folder, 'h', slot, incarnation);
    },
    listening: () => listenersIn(folder).filter(({ path }) => path !== own),
    ownedRooms: () => 0,
    missed() {
      missed += 1;
    },
  });
  await peers.listen(own, (request, response) => json(200, request.url)(request, response));
  ends.push(() => peers.close());
  return peers;
}

const times = (count: number) => heard.until(() => asked.length >= count);
/**
 * Runs the loop until nothing happens any more: everything is in this process, and data written to a
 * unix socket arrives in the next turn of the loop. Returns whether `isSo` held before that.
 */
async function turns(isSo = () => false): Promise<boolean> {
  for (let turn = 0; turn < 20; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    if (isSo()) return true;
  }
  return false;
}

/** Advances the clock whenever nothing else happens. */
async function passUntil(isSo: () => boolean): Promise<void> {
  for (;;) {
    if (await turns(isSo)) return;
    vi.advanceTimersToNextTimer();
  }
}

describe('a query', () => {
  it('goes to the workers of the other slots, and names those that did not answer', async () => {
    await Other.start(1, 2, json(200, 'one'));
    await Other.start(1, 7, json(200, 'next of one'));
    const peers = await start([1, 2, null]);
    expect(await peers.ask({ method: 'GET', url: '/it' })).toEqual({
      answers: [{ slot: 1, status: 200, body: 'one' }],
      missing: [2],
    });
    expect(missed).toBe(1);
  });

  it('with isEverywhere also goes to workers without a slot, including in our own slot', async () => {
    await Other.start(1, 2, json(200, 'one'));
    await Other.start(1, 7, json(200, 'next of one'));
    await Other.start(0, 1, json(503, 'before'));
    const peers = await start();
    const { answers, missing } = await peers.ask(EVERYWHERE);
    expect(answers.map(({ body }) => body).sort()).toEqual(['before', 'next of one', 'one']);
    // No worker has that slot.
    expect(missing).toEqual([2]);
  });

  it('names a slot if only one of its two workers answered', async () => {
    await Other.start(1, 2, json(200, 'one'));
    await Other.start(1, 7, silence);
    const peers = await start();
    let answers: unknown;
    void peers.ask(EVERYWHERE).then((all) => {
      answers = all;
    });
    await passUntil(() => answers !== undefined);
    expect(answers).toMatchObject({ answers: [{ slot: 1 }], missing: [1, 2] });
  });

  it('is understood by a worker with another prefix', async () => {
    const peers = await start([], '/chat');
    const other = new Peers({
      slot: 1,
      slots: 2,
      pathPrefix: '/',
      pathOf: () => pathOf(folder, 'h', 0, 9),
      listening: () => [],
      ownedRooms: () => 0,
      missed: () => {},
    });
    expect(await other.ask({ method: 'GET', url: '/v1/it' })).toMatchObject({
      answers: [{ body: '/chat/v1/it' }],
    });
    other.close();
    peers.close();
  });
});

describe('a worker that is asked again', () => {
  it('is asked until its answer is acceptable, or the condition no longer holds', async () => {
    const one = await Other.start(1, 2, json(503));
    const two = await Other.start(2, 3, json(503));
    const peers = await start();
    let holds = true;
    await peers.ask({ ...EVERYWHERE, insists: (answer) => holds && answer?.status !== 200 });
    await passUntil(() => asked.length >= 6);
    one.answer = json(200);
    await passUntil(() => asked.slice(6).includes(1));
    const before = asked.length;
    await passUntil(() => asked.length >= before + 3);
    expect(new Set(asked.slice(before))).toEqual(new Set([2]));
    // It has answered, and is not due to be asked again yet.
    await turns();
    const last = asked.length;
    holds = false;
    two.answer = json(200);
    await passUntil(() => vi.getTimerCount() === 0);
    await turns();
    expect(asked).toHaveLength(last);
  });

  it('is not asked any more once it, or the asking worker, has ended', async () => {
    const one = await Other.start(1, 2, json(503));
    await Other.start(2, 3, json(503));
    const peers = await start();
    await peers.ask({ ...EVERYWHERE, insists: () => true });
    one.end();
    const before = asked.length;
    await passUntil(() => asked.length >= before + 4);
    expect(new Set(asked.slice(before))).toEqual(new Set([2]));
    peers.close();
    await passUntil(() => vi.getTimerCount() === 0);
  });
});

describe('a new worker', () => {
  const UNTIL = Date.now() + 3_600_000;
  const entry = (id: string) => ({ id, user: id, before: 1, until: UNTIL });
  const has = (...ids: string[]) => json(200, { revocations: ids.map(entry) });

  function people() {
    const alarms = new Alarms();
    ends.push(() => alarms.close());
    return new People(new Revocations(1, 0, alarms));
  }

  it('gets the revocations of all listening workers, however long that takes', async () => {
    const one = await Other.start(1, 2, silence);
    await Other.start(0, 1, has('b', 'c'));
    const two = await Other.start(2, 3, json(503));
    await Other.start(2, 4, json(409, { code: 'not_enabled' }));
    const own = people();
    let isReady = false;
    const taken = takeRevocations(await start(), own).then(() => {
      isReady = true;
    });
    await passUntil(() => asked.filter((slot) => slot === 1).length >= 4);
    expect(isReady).toBe(false);
    one.answer = has('a', 'b');
    const before = asked.length;
    await passUntil(() => asked.length >= before + 4);
    expect(isReady).toBe(false);
    // Another worker has its rooms by now.
    two.end();
    await passUntil(() => isReady);
    await taken;
    // All of them, although its own limit is one.
    const ids = own.revocations().map(({ id }) => id);
    expect(ids.sort()).toEqual(['a', 'b', 'c']);
    expect(own.revocations()).toContainEqual(entry('a'));
  });

  it('has no revocation that is lifted before it has loaded them all', async () => {
    const one = await Other.start(1, 2, silence);
    await Other.start(2, 3, has('a', 'b'));
    const own = people();
    const taken = takeRevocations(await start(), own);
    await times(2);
    own.lift('a');
    one.answer = has();
    await passUntil(() => asked.length >= 3);
    await taken;
    expect(own.revocations().map(({ id }) => id)).toEqual(['b']);
  });

  it('asks nobody if it is alone', async () => {
    await takeRevocations(await start(), people());
    expect(asked).toEqual([]);
  });
});
