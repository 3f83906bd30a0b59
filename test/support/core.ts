/**
 * The core as a server builds it (sessions, hub, rooms, members, recorder), on transports without a
 * network and a scripted broker. Each peer's witness (`peer.ts`) checks what the peer receives; `check`
 * checks the other invariants.
 */

import { vi } from 'vitest';
import type { Auth } from '../../src/auth/auth.js';
import { Authenticator } from '../../src/auth/authenticator.js';
import { CloseLog } from '../../src/close-log.js';
import { defaultDetector } from '../../src/lock/index.js';
import { type Log, silent } from '../../src/log.js';
import { LoopClock } from '../../src/loop-clock.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { type Config, commandLimits, defaults } from '../../src/options/config.js';
import { JsonCodec } from '../../src/protocol/json.js';
import { Hub } from '../../src/room/hub.js';
import { Member } from '../../src/room/member.js';
import { People } from '../../src/session/people.js';
import { Sessions } from '../../src/session/sessions.js';
import type { Framing } from '../../src/transport/transport.js';
import { Turns } from '../../src/turns.js';
import { CountingFramings } from './counting-framings.js';
import type { FakeName } from './fake-transport.js';
import { HeldMemory } from './held-memory.js';
import { checkBounds, checkCounts, checkDrained, checkStalls } from './invariants.js';
import { type Mark, Peer } from './peer.js';
import { type BrokerScript, ScriptedBroker } from './scripted-broker.js';

export interface CoreOptions {
  readonly config?: Partial<Config>;
  readonly broker?: BrokerScript;
  /** Messages that a room keeps in its history. */
  readonly keeps?: number;
  /** Log for closes. */
  readonly log?: Log;
  /** The embedder's `Auth`. */
  readonly auth?: Auth;
}

export class Core {
  readonly config: Config;
  readonly observer = new Recorder();
  readonly clock = new LoopClock();
  readonly broker: ScriptedBroker;
  readonly closeLog: CloseLog;
  readonly hub: Hub;
  readonly auth: Authenticator;
  readonly people: People;
  readonly sessions: Sessions;
  readonly peers: Peer[] = [];
  /** Errors of the server, and violations seen by its peers. */
  readonly failures: unknown[] = [];
  readonly #framings = new CountingFramings();
  readonly #held = new HeldMemory();
  readonly #spies: { mockRestore(): void }[] = [];

  constructor({ config = {}, broker, keeps, log = silent, auth }: CoreOptions = {}) {
    this.config = {
      ...defaults,
      historyMessages: keeps ?? 0,
      publishRate: 0,
      joinRate: 0,
      ...config,
    };
    this.broker = new ScriptedBroker(broker, keeps);
    const codec = new JsonCodec();
    this.closeLog = new CloseLog(log);
    const { observer, closeLog } = this;
    this.auth = new Authenticator(this.config, log, this.observer, auth);
    this.people = new People(this.auth.revocations);
    this.hub = new Hub(
      this.config,
      this.broker,
      codec,
      observer,
      this.clock,
      (member, reason) => this.sessions.close(member, reason),
      defaultDetector,
    );
    this.sessions = new Sessions(
      {
        config: this.config,
        hub: this.hub,
        codec,
        limits: commandLimits(this.config),
        observer,
        turns: new Turns(),
        closeLog,
        auth: this.auth,
        people: this.people,
        failed: (_, error) => this.failures.push(error),
      },
      defaultDetector,
    );
    this.#watchMembers();
  }

  connect(name: FakeName = 'websocket'): Peer {
    const peer = new Peer(this, name);
    this.peers.push(peer);
    return peer;
  }

  /** Peers that are still connected. */
  get open(): Peer[] {
    return this.peers.filter(({ transport }) => transport.isOpen);
  }

  /** Runs a check. Errors are recorded and not thrown into the core. */
  guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.failures.push(error);
    }
  }

  framing(name: FakeName): Framing {
    return this.#framings.get(name);
  }

  policyOf(room: string): string {
    const colon = room.indexOf(':');
    const own = colon < 0 ? undefined : this.config.namespaces[room.slice(0, colon)];
    return own?.policy ?? this.config.policy;
  }

  /** Checks the invariants that hold whenever nothing is running. */
  check(): void {
    if (this.failures.length > 0) throw this.failures[0];
    checkCounts(this);
    checkBounds(this);
    this.#held.check(this);
    this.#framings.check((text) => this.#maySendAgain(text));
  }

  /** Checks the invariants of peers that have received everything available. */
  checkDrained(): void {
    this.check();
    checkDrained(this);
  }

  /** Checks the invariants after all peers have left. */
  checkEmpty(): void {
    this.check();
    const { hub } = this;
    const { members, behind, memory, replays, backfills } = hub;
    const read = replays.size + backfills.size;
    const left = [members.size, behind.size, memory.bytes, this.#held.size, read];
    if (left.some((count) => count !== 0)) {
      throw new Error(`left: members, behind, bytes, held, read again: ${left.join(', ')}`);
    }
  }

  restore(): void {
    this.clock.close();
    this.auth.close();
    this.closeLog.close();
    this.#held.restore();
    for (const spy of this.#spies) spy.mockRestore();
  }

  get delivered(): number {
    return this.observer.deliverySeconds.total();
  }

  /** Checks that stalled peers are evicted in time. `isQuiet`: no turn of the loop is due. */
  checkStalls(isQuiet: boolean): void {
    checkStalls(this, isQuiet);
  }

  /** How many extra times a message may be encoded: when it was replayed, or kept for readers. */
  #maySendAgain(text: string): number {
    const { keeps, reads } = this.broker;
    const { data } = JSON.parse(text) as { data: unknown };
    return keeps === 0 ? 0 : 1 + (reads.get(JSON.stringify(data)) ?? 0);
  }

  /** Records the position of a room at each join and leave. */
  #watchMembers(): void {
    const mark = (member: Member, what: Mark['what'], room: string) => {
      const { epoch, seq } = this.hub.rooms.get(room)!;
      const { delivered } = this.broker.topics.get(room)!;
      if (seq !== delivered.seq || epoch !== delivered.epoch) {
        const at = JSON.stringify([{ epoch, seq }, delivered]);
        this.failures.push(new Error(`${what} ${room}: room and broker are at ${at}`));
      }
      const peer = this.peers.find((each) => each.member === member);
      peer?.marks.push({ what, room, epoch, seq });
      peer?.policies.add(this.policyOf(room));
    };
    const { join, leave } = Member.prototype;
    this.#spies.push(
      vi.spyOn(Member.prototype, 'join').mockImplementation(function (this: Member, subscription) {
        mark(this, 'join', subscription.room);
        join.call(this, subscription);
      }),
      vi.spyOn(Member.prototype, 'leave').mockImplementation(function (this: Member, ...args) {
        mark(this, 'leave', args[0].room);
        leave.apply(this, args);
      }),
    );
  }
}
