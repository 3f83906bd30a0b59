/**
 * All sessions of a server: admission of new connections, and the drain at shutdown.
 *
 * V3: at most `maxConnections` sessions in all, and `maxConnectionsPerAddress` from one network. V7:
 * `drain` ends by its deadline, whatever the peers do.
 *
 * Not here: one session (`session.ts`), listening (`serve.ts`).
 */

import type { CloseReason } from '../errors.js';
import { type Detector, LockTimeoutError, WaitGroup } from '../lock/index.js';
import type { Config } from '../options/config.js';
import type { Member } from '../room/member.js';
import { clearInterval, nowMs, queueMicrotask, setInterval } from '../time.js';
import { networkOf } from '../transport/address.js';
import type { Handshake, Transport, TransportSink } from '../transport/transport.js';
import { closingEvent, Session, type SessionContext } from './session.js';

/** How long a refused peer has to read the reason, in milliseconds. */
const TURN_AWAY_MS = 1000;
/** Interval at which a drain checks which members have drained, in milliseconds. */
const DRAIN_CHECK_MS = 10;

/** Result of a drain. */
export interface Drained {
  /** Members that confirmed that they received everything. */
  readonly drained: number;
  /**
   * Members that did not confirm their last messages. The kernel took these; the peer may have read
   * them.
   */
  readonly unconfirmed: readonly Owed[];
  /** Members that ended with messages still queued, or were never told to leave. */
  readonly abandoned: readonly Owed[];
}

/** Number of messages of one member. */
interface Owed {
  readonly member: string;
  readonly messages: number;
}

export class Sessions {
  readonly #context: SessionContext;
  readonly #config: Config;
  readonly #sessions = new Map<Member, Session>();
  readonly #perNetwork = new Map<string, number>();
  /**
   * Shutdown waits for `#open`. `#leaving` has the function that marks a session done. Both are empty
   * until a drain starts.
   */
  readonly #open: WaitGroup;
  readonly #leaving = new Map<Session, () => void>();
  #isDraining = false;
  /** Outcome of the drain in progress; null before one. */
  #outcome: Outcome | null = null;

  constructor(context: Omit<SessionContext, 'ended'>, detector: Detector) {
    this.#open = new WaitGroup({ name: 'server.connections', detector });
    this.#config = context.config;
    this.#context = { ...context, ended: (session) => this.#ended(session) };
  }

  /** Creates a session for a new connection, or closes the connection if there are too many. */
  accept(transport: Transport, handshake?: Handshake): TransportSink {
    const network = networkOf(transport.remoteAddress);
    const { events, isLagging } = this.#context.hub;
    if (this.#isDraining) return this.#turnAway(transport, 'going_away');
    if (isLagging || this.#isFull(network)) return this.#turnAway(transport, 'over_capacity');
    const session = new Session(transport, this.#context, handshake);
    this.#sessions.set(session.member, session);
    this.#perNetwork.set(network, (this.#perNetwork.get(network) ?? 0) + 1);
    if (handshake !== undefined && events.wanted.connected) {
      const { headers, url, address } = handshake;
      const member = session.member.id;
      events.tell('connected', { member, transport: transport.name, address, url, headers });
    }
    return session;
  }

  /** Closes a member's connection with a reason. */
  close(member: Member, reason: CloseReason): void {
    this.#sessions.get(member)?.close(reason);
  }

  /**
   * Tells every member to reconnect later, spread over `drainMs` so that they do not all come back at
   * once. Closes each once the kernel has everything for it, waits for the peer's close frame, and
   * resets those left at `deadline` (by `nowMs()`). Until then polls are answered, and new connections
   * are told to go elsewhere.
   */
  async drain(deadline: number): Promise<Drained> {
    this.#isDraining = true;
    const started = nowMs();
    const drainMs = Math.min(this.#config.drainMs, Math.max(0, deadline - started));
    for (const session of this.#sessions.values()) {
      this.#leaving.set(session, this.#open.add(`member ${session.member.id}`));
    }
    const waiting = Array.from(this.#sessions.values()).filter(({ hasClosed }) => !hasClosed);
    const outcome = new Outcome(waiting);
    this.#outcome = outcome;
    const told = new Set<Session>();
    let next = 0;
    const look = () => {
      const now = nowMs();
      const passed = now - started;
      const due = passed >= drainMs ? waiting.length : (passed / drainMs) * waiting.length;
      for (; next < due; next += 1) {
        const session = waiting[next] as Session;
        if (session.hasClosed) continue;
        told.add(session);
        session.announceClose(retryAfterMs(drainMs));
      }
      for (const session of told) {
        if (!session.hasClosed && !session.member.outbox.isDrained) continue;
        told.delete(session);
        if (!session.hasClosed) session.closeDrained(Math.max(0, deadline - now));
      }
    };
    look();
    const timer = setInterval(look, DRAIN_CHECK_MS);
    try {
      await this.#open.wait({ timeoutMs: Math.max(0, deadline - nowMs()) });
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error;
    } finally {
      clearInterval(timer);
    }
    for (const session of this.#sessions.values()) {
      const { hasClosed } = session;
      session.reset();
      outcome.settle(session, hasClosed);
    }
    return outcome;
  }

  #ended(session: Session): void {
    this.#outcome?.settle(session, true);
    const { member, transport } = session;
    if (!this.#sessions.delete(member)) return;
    this.#leaving.get(session)?.();
    this.#leaving.delete(session);
    const network = networkOf(transport.remoteAddress);
    const left = (this.#perNetwork.get(network) as number) - 1;
    if (left === 0) this.#perNetwork.delete(network);
    else this.#perNetwork.set(network, left);
  }

  #isFull(network: string): boolean {
    const { maxConnections, maxConnectionsPerAddress } = this.#config;
    return (
      (maxConnections > 0 && this.#sessions.size >= maxConnections) ||
      (maxConnectionsPerAddress > 0 &&
        (this.#perNetwork.get(network) ?? 0) >= maxConnectionsPerAddress)
    );
  }

  /** Closes a connection with a reason and ignores its input. */
  #turnAway(transport: Transport, reason: CloseReason): TransportSink {
    const { closeLog, codec, observer } = this.#context;
    const { index, encoding } = transport.framing;
    const frame = encoding.encode(codec.encode(closingEvent(reason)));
    const farewell = transport.framing.join([frame], frame.length);
    observer.opened(index);
    closeLog.refused(transport, reason);
    // Deferred, since a transport can only be closed after it has its sink.
    queueMicrotask(() => transport.close(reason, farewell, TURN_AWAY_MS));
    const ignore = () => {};
    return {
      stallAfterMs: TURN_AWAY_MS,
      received: ignore,
      receivedBinary: ignore,
      faulted: ignore,
      left: ignore,
      completed: ignore,
      ready: ignore,
      roundTrip: ignore,
      ended: (reason) => observer.closed(index, reason),
    };
  }
}

/** At least a second, randomised, and longer the longer the drain takes. */
const retryAfterMs = (drainMs: number): number =>
  1000 + Math.floor(Math.random() * Math.max(1000, drainMs * 2));

/** Outcome of the sessions that were open when the drain began. */
class Outcome implements Drained {
  drained = 0;
  readonly unconfirmed: Owed[] = [];
  readonly abandoned: Owed[] = [];
  readonly #open: Set<Session>;

  constructor(sessions: Iterable<Session>) {
    this.#open = new Set(sessions);
  }

  /** `wasClosed`: it was told to leave, or left by itself. */
  settle(session: Session, wasClosed: boolean): void {
    if (!this.#open.delete(session)) return;
    const { id: member, outbox } = session.member;
    const { abandonedMessages, unconfirmedMessages } = outbox;
    const isAbandoned = abandonedMessages > 0 || !wasClosed;
    if (isAbandoned) this.abandoned.push({ member, messages: abandonedMessages });
    if (unconfirmedMessages > 0) this.unconfirmed.push({ member, messages: unconfirmedMessages });
    if (!isAbandoned && unconfirmedMessages === 0) this.drained += 1;
  }
}
