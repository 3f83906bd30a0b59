/**
 * A run over brokers that keeps the logs for `accounting.ts`: publishers and members at every node of a
 * cluster, while the test injects faults. A member here is a node's subscription to a room and logs
 * what the node receives; what a room makes of it is tested elsewhere.
 */
import type { Broker, Position } from '../../src/broker/broker.js';
import { Refusal } from '../../src/errors.js';
import type { MemberLog, Published, Told } from './accounting.js';

const never = () => new AbortController().signal;

export class BrokerRun {
  readonly published: Published[] = [];
  readonly members: (MemberLog & { endedAt: number | null })[] = [];
  readonly #timeoutMs: number;
  readonly #answers: Promise<boolean>[] = [];
  #payloads = 0;

  constructor(timeoutMs = 5000) {
    this.#timeoutMs = timeoutMs;
  }

  /** Subscribes a node to rooms and logs what it receives. Returns a function that ends it. */
  async join(
    broker: Broker,
    name: string,
    rooms: readonly string[],
    isUndisturbed: (room: string) => boolean = () => false,
  ): Promise<() => void> {
    const logs = new Map<string, { told: Told[]; last: Position }>();
    const at = () => performance.now();
    /**
     * Events of a room whose subscription has been answered, while that answer has not arrived here
     * yet.
     */
    const early = new Map<string, (() => void)[]>();
    const logOf = (room: string, again: () => void) => {
      early.get(room)?.push(again);
      return logs.get(room);
    };
    broker.onDeliver(function deliver(publication) {
      const { room, seq, epoch, data } = publication;
      const log = logOf(room, () => deliver(publication));
      if (log === undefined) return;
      // By the contract a hole is a gap, and a new epoch a reset.
      if (epoch !== log.last.epoch) {
        const position = { epoch, seq: seq - 1 };
        log.told.push({ type: 'reset', at: at(), position, was: log.last });
      } else if (seq > log.last.seq + 1) {
        log.told.push({ type: 'gap', at: at(), from: log.last.seq + 1, to: seq - 1 });
      }
      log.told.push({ type: 'message', at: at(), place: { epoch, seq }, payload: data });
      log.last = { epoch, seq };
    });
    broker.onLost(function lost(room, to) {
      const log = logOf(room, () => lost(room, to));
      if (log === undefined) return;
      log.told.push({ type: 'gap', at: at(), from: log.last.seq + 1, to });
      log.last = { epoch: log.last.epoch, seq: to };
    });
    broker.onReset(function reset(room, position, was) {
      const log = logOf(room, () => reset(room, position, was));
      if (log === undefined) return;
      log.told.push({ type: 'reset', at: at(), position, was });
      log.last = position;
    });
    const own: { endedAt: number | null }[] = [];
    for (const room of rooms) {
      early.set(room, []);
      const position = await broker.subscribe(room, never());
      const log = { told: [{ type: 'joined', at: at(), position }] as Told[], last: position };
      logs.set(room, log);
      const before = early.get(room) ?? [];
      early.delete(room);
      for (const tell of before) tell();
      const member = {
        name,
        room,
        told: log.told,
        endedAt: null,
        isUndisturbed: isUndisturbed(room),
      };
      own.push(member);
      this.members.push(member);
    }
    return () => {
      for (const member of own) member.endedAt = at();
      logs.clear();
    };
  }

  /** Returns whether it was accepted. */
  publish(broker: Broker, room: string): Promise<boolean> {
    this.#payloads += 1;
    const payload = `"${this.#payloads}"`;
    const sentAt = performance.now();
    const deadline = sentAt + this.#timeoutMs;
    const index = this.published.length;
    const note = (answer: Published['answer']) => {
      this.published[index] = { room, payload, sentAt, deadline, answer };
    };
    note('pending');
    const ask = async () => {
      try {
        note(await broker.publish(room, { data: payload, from: null }, { deadline }));
        return true;
      } catch (error) {
        const isUnknown = error instanceof Refusal && error.code === 'broker_uncertain';
        note(isUnknown ? 'uncertain' : 'refused');
        return false;
      }
    };
    const answer = ask();
    this.#answers.push(answer);
    return answer;
  }

  /** Resolves when every publish is answered. */
  async settled(): Promise<void> {
    await Promise.all(this.#answers);
  }
}
