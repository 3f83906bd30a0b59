/**
 * Behaviour of a mesh when a worker is slow, dead or late: what rooms receive, and what publishers are
 * answered.
 */
import { expect, it, onTestFinished, vi } from 'vitest';
import type { Broker, LossReason, Past, Position } from '../../../src/broker/broker.js';
import { BrokerCalls } from '../../../src/broker/calls.js';
import { MemoryBroker } from '../../../src/broker/memory.js';
import type { MeshBroker } from '../../../src/broker/mesh/mesh.js';
import { slotOf } from '../../../src/broker/mesh/slots.js';
import { Detector, WaitGroup } from '../../../src/lock/index.js';
import { Recorder } from '../../../src/metrics/recorder.js';
import { defaults } from '../../../src/options/config.js';
import { onSurvived } from '../../../src/survived.js';
import { roomOf, TestMesh } from '../../support/mesh.js';
import { PlannedError } from '../../support/planned-error.js';

const never = () => new AbortController().signal;
const soon = (ms = 5000) => ({ deadline: performance.now() + ms });
const payload = (data: string) => ({ data, from: null });
const OWNED = roomOf(0, 2, 'room');

const start = () => TestMesh.start(2, () => new MemoryBroker());

function listen(broker: Broker) {
  const told: unknown[] = [];
  broker.onDeliver(({ seq }) => told.push(seq));
  broker.onLost((_, to, reason?: LossReason) => told.push(`lost to ${to}, ${reason}`));
  broker.onReset((_, position: Position, was: Position) =>
    told.push(`reset to ${position.seq}, was ${was.seq}`),
  );
  return told;
}

it('spreads rooms over the slots, identically in every process', () => {
  const counts = [0, 0, 0, 0];
  for (let n = 0; n < 10_000; n += 1) counts[slotOf(`chat:room-${n}`, 4)]! += 1;
  for (const count of counts) expect(Math.abs(count - 2500)).toBeLessThan(200);
  // Fixed for this release: a worker of another release would map rooms differently.
  expect(['', 'a', 'chat:lobby', '漢字'].map((name) => slotOf(name, 1000))).toMatchInlineSnapshot(`
    [
      923,
      715,
      888,
      693,
    ]
  `);
});

it('a worker that does not read loses what its link cannot hold, and exactly that is reported (V23)', async () => {
  const mesh = await start();
  const [owner, other] = mesh.nodes as unknown as [Broker, Broker];
  const told = listen(other);
  await other.subscribe(OWNED, never());
  await owner.publish(OWNED, payload('1'), soon());
  await mesh.settle();
  const goOn = mesh.stall(1);
  const text = JSON.stringify('x'.repeat(100_000));
  const count = 400;
  // The publish does not wait for it (V1).
  for (let n = 0; n < count; n += 1) owner.publish(OWNED, payload(text), soon());
  await new Promise<void>((resolve) => setImmediate(resolve));
  expect(mesh.nodes[0]?.bytes).toBeLessThan(8 * 2 ** 20 + 2 * text.length);
  goOn();
  await expect.poll(() => told.at(-1)).toBe(`lost to ${count + 1}, node`);
  const had = told.slice(0, -1);
  expect(had).toEqual(Array.from({ length: had.length }, (_, n) => n + 1));
  expect(had.length).toBeLessThan(count);
  expect(mesh.nodes[0]?.counts.lost).toBe(count + 1 - had.length);
  // Later messages arrive as usual.
  await owner.publish(OWNED, payload('2'), soon());
  await expect.poll(() => told.at(-1)).toBe(count + 2);
  await mesh.close();
});

it('a restarted worker continues in a new epoch, and its rooms get a reset with their old position', async () => {
  const mesh = await start();
  const told = listen(mesh.nodes[1] as Broker);
  const before = await mesh.nodes[1]!.subscribe(OWNED, never());
  for (const data of ['1', '2']) await mesh.nodes[1]!.publish(OWNED, payload(data), soon());
  mesh.kill(0);
  await expect.poll(() => mesh.nodes[1]?.state(OWNED)).toBe('suspended');
  expect(mesh.nodes[1]?.missing).toEqual([0]);
  // Rooms of other workers are not suspended, nor is the whole broker.
  expect(mesh.nodes[1]?.state(roomOf(1, 2))).toBe('up');
  // Unsent, so it is sent once, to the new worker.
  const waiting = mesh.nodes[1]!.publish(OWNED, payload('3'), soon(20_000));
  await mesh.replace(0);
  const after = await waiting;
  expect(after.seq).toBe(1);
  expect(after.epoch).not.toBe(before.epoch);
  await expect.poll(() => told).toEqual([1, 2, 'reset to 0, was 2', 1]);
  expect(mesh.nodes[1]?.state(OWNED)).toBe('up');
  await mesh.close();
});

it('a publish is refused by what is known of it when its worker dies or does not answer', async () => {
  const mesh = await start();
  const other = mesh.nodes[1] as Broker;
  mesh.stall(0);
  const sent = other.publish(OWNED, payload('1'), soon(100)) as Promise<Position>;
  await expect(sent).rejects.toMatchObject({ code: 'broker_uncertain' });
  const lost = other.publish(OWNED, payload('2'), soon()) as Promise<Position>;
  mesh.kill(0);
  await expect(lost).rejects.toMatchObject({ code: 'broker_uncertain' });
  await expect.poll(() => mesh.nodes[1]?.missing).toEqual([0]);
  // That one was never sent.
  const unsent = other.publish(OWNED, payload('3'), soon(100)) as Promise<Position>;
  await expect(unsent).rejects.toMatchObject({ code: 'broker_unavailable' });
  await mesh.close();
});

it('a subscribe that its owner has not answered is refused when the broker closes (V8)', async () => {
  const mesh = await start();
  mesh.stall(0);
  const joining = (mesh.nodes[1] as Broker).subscribe(OWNED, never());
  const refused = expect(joining).rejects.toMatchObject({ code: 'broker_unavailable' });
  await mesh.nodes[1]?.close();
  await refused;
  await mesh.close();
});

it('an unsent publish is refused as certain before its publisher stops waiting (V22)', async () => {
  const mesh = await start();
  const tasks = new WaitGroup({ name: 'tasks', detector: new Detector({ mode: 'strict' }) });
  const calls = new BrokerCalls(mesh.nodes[1] as Broker, 400, tasks, new Recorder());
  mesh.kill(0);
  await expect.poll(() => mesh.nodes[1]?.missing).toEqual([0]);
  await expect(Promise.resolve(calls.publish(OWNED, payload('1')))).rejects.toMatchObject({
    code: 'broker_unavailable',
  });
  await mesh.close();
});

it('a worker that resumes after the deadline of a publish does not publish it (V22)', async () => {
  const mesh = await start();
  const [owner, other] = mesh.nodes as unknown as [Broker, Broker];
  const told = listen(owner);
  await owner.subscribe(OWNED, never());
  const goOn = mesh.stall(0);
  const late = other.publish(OWNED, payload('1'), soon(50)) as Promise<Position>;
  await expect(late).rejects.toMatchObject({ code: 'broker_uncertain' });
  goOn();
  expect(await other.publish(OWNED, payload('2'), soon())).toMatchObject({ seq: 1 });
  expect(told).toEqual([1]);
  await mesh.close();
});

it('refuses at once when the queue is full, and stays within its bound (V3)', async () => {
  const mesh = await start();
  const other = mesh.nodes[1] as Broker;
  mesh.kill(0);
  await expect.poll(() => mesh.nodes[1]?.missing).toEqual([0]);
  const text = JSON.stringify('x'.repeat(1_000_000));
  const codes: unknown[] = [];
  const publish = async () => {
    try {
      await other.publish(OWNED, payload(text), soon(200));
    } catch (error) {
      codes.push((error as { code: string }).code);
    }
  };
  await Promise.all(Array.from({ length: 20 }, publish));
  expect(codes.filter((code) => code === 'room_busy').length).toBeGreaterThan(5);
  expect(codes.filter((code) => code === 'broker_unavailable').length).toBeGreaterThan(5);
  await mesh.close();
});

it('queues up to the limit of publishes, and refuses the next one (V3)', async () => {
  const mesh = await start();
  const other = mesh.nodes[1] as Broker;
  mesh.kill(0);
  await expect.poll(() => mesh.nodes[1]?.missing).toEqual([0]);
  const publish = async () => other.publish(OWNED, payload('1'), soon(20_000));
  const waiting = Promise.allSettled(Array.from({ length: 16_384 }, publish));
  await expect(publish()).rejects.toMatchObject({ code: 'room_busy' });
  await mesh.replace(0);
  const answers = await waiting;
  expect(answers.filter(({ status }) => status === 'rejected')).toEqual([]);
  expect(await publish()).toMatchObject({ seq: 16_385 });
  await mesh.close();
});

it('each wait ends on its own, whatever is queued before it (V8)', async () => {
  const mesh = await start();
  const other = mesh.nodes[1] as Broker;
  const range = { from: 1, to: 1, maxMessages: 1, maxBytes: 1 };
  const ask = async (signal: AbortSignal) => other.history?.(OWNED, range, signal);
  mesh.stall(0);
  const asking = new AbortController();
  const asked = ask(asking.signal);
  const sent = other.publish(OWNED, payload('1'), soon(100));
  await expect(sent).rejects.toMatchObject({ code: 'broker_uncertain' });
  asking.abort(new Error('enough'));
  await expect(asked).rejects.toMatchObject({ code: 'broker_unavailable' });
  mesh.kill(0);
  await expect.poll(() => mesh.nodes[1]?.missing).toEqual([0]);
  const waiting = new AbortController();
  const unsent = ask(waiting.signal);
  const late = other.publish(OWNED, payload('2'), soon(100));
  await expect(late).rejects.toMatchObject({ code: 'broker_unavailable' });
  waiting.abort(new Error('enough'));
  await expect(unsent).rejects.toMatchObject({ code: 'broker_unavailable' });
  await mesh.close();
});

it('an error in the middle of received frames is reported once, and the frames after it are not lost silently', async () => {
  const mistakes: unknown[] = [];
  const noLonger = onSurvived((error) => mistakes.push(error));
  const mesh = await start();
  const [owner, other] = mesh.nodes as unknown as [Broker, Broker];
  const told: unknown[] = [];
  other.onDeliver(({ seq }) => {
    if (seq === 2) throw new PlannedError('a mistake');
    told.push(seq);
  });
  other.onLost((_, to) => told.push(`lost to ${to}`));
  await other.subscribe(OWNED, never());
  // Sent in one turn, so in one piece.
  for (let n = 1; n <= 5; n += 1) owner.publish(OWNED, payload(`${n}`), soon());
  await expect.poll(() => told).toEqual([1, 'lost to 5']);
  expect(mistakes).toEqual([new PlannedError('a mistake')]);
  await owner.publish(OWNED, payload('6'), soon());
  await expect.poll(() => told.at(-1)).toBe(6);
  noLonger();
  await mesh.close();
});

/** Delivers before it answers, and then refuses once. */
class Hasty extends MemoryBroker {
  subscribes = 0;
  override subscribe(room: string, signal?: AbortSignal, since?: Position): Position {
    this.subscribes += 1;
    const position = super.subscribe(room, signal, since);
    if (this.subscribes > 1) return position;
    this.publish(room, payload('1'), soon());
    this.unsubscribe(room);
    return Promise.reject(new Error('planned')) as never;
  }
}

it('a room refused after its first message is reopened, and publishes use its name meanwhile', async () => {
  const inner = [new Hasty(), new MemoryBroker()];
  const mesh = await TestMesh.start(2, (slot) => inner[slot] as Broker);
  const other = mesh.nodes[1] as Broker;
  const told = listen(other);
  // It is reopened when the test says so.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  await other.subscribe(OWNED, never());
  await expect.poll(() => told).toEqual([1]);
  await expect.poll(() => other.state(OWNED)).toBe('suspended');
  // A room that is not open is identified by its name.
  expect(await other.publish(OWNED, payload('2'), soon())).toMatchObject({ seq: 2 });
  vi.advanceTimersToNextTimer();
  await expect.poll(() => told).toEqual([1, 'lost to 2, broker']);
  expect(other.state(OWNED)).toBe('up');
  expect(await other.publish(OWNED, payload('3'), soon())).toMatchObject({ seq: 3 });
  await expect.poll(() => told.at(-1)).toBe(3);
  await mesh.close();
});

/** Delivers before it answers, and refuses once when told to. */
class Hesitant extends MemoryBroker {
  refuse = () => {};
  #hasBegun = false;
  override subscribe(room: string, signal?: AbortSignal, since?: Position): Position {
    const position = super.subscribe(room, signal, since);
    if (this.#hasBegun) return position;
    this.#hasBegun = true;
    this.publish(room, payload('1'), soon());
    return new Promise((_, reject) => {
      this.refuse = () => reject(new Error('planned'));
    }) as never;
  }
}

it('a publish by the number of a room that was just refused is refused as certain (V22)', async () => {
  const owner = new Hesitant();
  const mesh = await TestMesh.start(2, (slot) => (slot === 0 ? owner : new MemoryBroker()));
  const other = mesh.nodes[1] as Broker;
  const told = listen(other);
  await other.subscribe(OWNED, never());
  await expect.poll(() => told).toEqual([1]);
  owner.refuse();
  // The owner has released the number, and the other worker has not read that yet.
  for (let n = 0; n < 50; n += 1) await Promise.resolve();
  await expect(other.publish(OWNED, payload('2'), soon())).rejects.toMatchObject({
    code: 'broker_unavailable',
    message: 'The room was refused meanwhile.',
  });
  await mesh.close();
});

it('settles once everything published before has arrived, also over a slow link', async () => {
  const mesh = await start();
  const [owner, other] = mesh.nodes as unknown as [Broker, Broker];
  const told = listen(other);
  await other.subscribe(OWNED, never());
  const goOn = mesh.stall(1);
  for (const data of ['1', '2']) await owner.publish(OWNED, payload(data), soon());
  const settled = Promise.resolve(other.settled?.(OWNED, never())).then(() => [...told]);
  goOn();
  expect(await settled).toEqual([1, 2]);
  expect(owner.settled?.(OWNED, never())).toBe(undefined);
  await mesh.close();
});

/** Answers `settled` when told to, and then a question for history. */
class Unsettled extends MemoryBroker {
  asked = () => {};
  answer = () => {};
  readonly #told = new Promise<void>((resolve) => {
    this.answer = resolve;
  });
  settled(): Promise<void> {
    return this.#told;
  }
  override history(...asked: Parameters<MemoryBroker['history']>): Past {
    this.asked();
    const later = () => new Promise((resolve) => setImmediate(resolve));
    return this.#told.then(later).then(() => super.history(...asked)) as never;
  }
}

it('settles only once what its link has dropped is reported (V21)', async () => {
  const inner = new Unsettled({ ...defaults, historyMessages: 10 });
  const mesh = await TestMesh.start(2, (slot) => (slot === 0 ? inner : new MemoryBroker()));
  const [owner, other] = mesh.nodes as unknown as [Broker, Broker];
  const told = listen(other);
  await other.subscribe(OWNED, never());
  const settled = Promise.resolve(other.settled?.(OWNED, never())).then(() => told.at(-1));
  // Its answer is more than a read of the socket.
  const range = { from: 1, to: 400, maxMessages: 10, maxBytes: 1_000_000 };
  const past = other.history?.(OWNED, range, never());
  await new Promise<void>((resolve) => {
    inner.asked = resolve;
  });
  const goOn = mesh.stall(1);
  const text = JSON.stringify('x'.repeat(100_000));
  for (let n = 0; n < 400; n += 1) owner.publish(OWNED, payload(text), soon());
  inner.answer();
  await new Promise<void>((resolve) => setImmediate(resolve));
  goOn();
  expect(await settled).toBe('lost to 400, node');
  expect((await past)?.publications).toHaveLength(9);
  await mesh.close();
});

/** Answers publishes only when it closes, like a broker that waits for what is in flight. */
class Last extends MemoryBroker {
  readonly #answers: (() => void)[] = [];
  override publish(...asked: Parameters<MemoryBroker['publish']>): Position {
    const position = super.publish(...asked);
    return new Promise((resolve) => this.#answers.push(() => resolve(position))) as never;
  }
  override async close(): Promise<void> {
    for (const answer of this.#answers) answer();
    await new Promise((resolve) => setImmediate(resolve));
    super.close();
  }
}

it('a closing worker answers the publishes of others that are in flight (V22)', async () => {
  const mesh = await TestMesh.start(2, (slot) => (slot === 0 ? new Last() : new MemoryBroker()));
  const [owner, other] = mesh.nodes as unknown as [Broker, Broker];
  const before = owner.publish(OWNED, payload('1'), soon());
  const sent = other.publish(OWNED, payload('2'), soon());
  // The owner has received it once it answers a later question.
  const asked = other.history?.(OWNED, { from: 3, to: 3, maxMessages: 1, maxBytes: 1 }, never());
  expect(await asked).toMatchObject({ seq: 2 });
  await owner.close();
  expect([await before, await sent]).toMatchObject([{ seq: 1 }, { seq: 2 }]);
  await mesh.close();
});

it('a slot that moves twice in quick succession keeps the link to its last worker', async () => {
  const mesh = await start();
  const [, other] = mesh.nodes as [MeshBroker, MeshBroker];
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  while (other.missing.length > 0) await turn();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const goOn = mesh.stall(0);
  const sent = other.publish(OWNED, payload('1'), soon());
  await turn();
  const last = await mesh.way(1, 0);
  other.moved(0, await mesh.way(1, 0));
  other.moved(0, last);
  goOn();
  expect(await sent).toMatchObject({ seq: 1 });
  while (other.missing.length > 0) await turn();
  const goOnAgain = mesh.stall(0);
  const next = other.publish(OWNED, payload('2'), soon());
  await turn();
  // The time limit of the first move.
  vi.advanceTimersByTime(1000);
  goOnAgain();
  expect(await next).toMatchObject({ seq: 2 });
  vi.useRealTimers();
  await mesh.close();
});
