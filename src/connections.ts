/**
 * Every session of a server: who may have one, and how all of them are taken leave of.
 *
 * V3: no more sessions than `maxConnections`, in all and from one address. V7: `drain` is over by
 * its deadline, whatever the peers do.
 *
 * Not here: one session (`session.ts`), listening (`server.ts`).
 */
import type { Config } from './config.js';
import type { CloseReason } from './errors.js';
import { type Detector, LockTimeoutError, WaitGroup } from './lock/index.js';
import type { Member } from './room/member.js';
import { CLOSE_GRACE_MS, closingEvent, Session, type SessionContext } from './session.js';
import { clearInterval, nowMs, queueMicrotask, setInterval } from './time.js';
import type { Transport, TransportSink } from './transport/transport.js';

/** How often a drain looks which members have had everything, in milliseconds. */
const DRAIN_CHECK_MS = 10;

/** What a drain came to. */
export interface Drained {
  /** Members that had everything before they were closed. */
  readonly drained: number;
  /** Members that were reset at the deadline, with the messages they had not had. */
  readonly abandoned: readonly { readonly member: string; readonly messages: number }[];
}

export class Connections {
  readonly #context: SessionContext;
  readonly #config: Config;
  /** With what takes each out of `#open`. */
  readonly #sessions = new Map<Member, { session: Session; done: () => void }>();
  readonly #perAddress = new Map<string, number>();
  /** What a shutdown waits for. */
  readonly #open: WaitGroup;
  #isDraining = false;

  constructor(context: Omit<SessionContext, 'ended'>, detector: Detector) {
    this.#open = new WaitGroup({ name: 'server.connections', detector });
    this.#config = context.config;
    this.#context = { ...context, ended: (session) => this.#ended(session) };
  }

  /** A session for a new connection, or, where there are too many, its end. */
  accept(transport: Transport): TransportSink {
    const { remoteAddress } = transport;
    if (this.#isDraining) return this.#turnAway(transport, 'going_away');
    if (this.#isFull(remoteAddress)) return this.#turnAway(transport, 'over_capacity');
    const session = new Session(transport, this.#context);
    const done = this.#open.add(`member ${session.member.id}`);
    this.#sessions.set(session.member, { session, done });
    this.#perAddress.set(remoteAddress, (this.#perAddress.get(remoteAddress) ?? 0) + 1);
    return session;
  }

  /** Ends the connection of a member and tells it why. */
  close(member: Member, reason: CloseReason): void {
    this.#sessions.get(member)?.session.close(reason);
  }

  /**
   * Tells every member to come back later, spread over `drainMs` so that they do not all come at
   * once, closes each when it has had everything, and resets those left at the deadline.
   */
  async drain(): Promise<Drained> {
    this.#isDraining = true;
    const { drainMs, shutdownGraceMs } = this.#config;
    const started = nowMs();
    const waiting = Array.from(this.#sessions.values(), ({ session }) => session);
    const total = waiting.length;
    const told = new Set<Session>();
    const abandoned: { member: string; messages: number }[] = [];
    const abandon = (session: Session, retryAfter?: number) => {
      const { id, queuedMessages } = session.member;
      abandoned.push({ member: id, messages: queuedMessages });
      if (retryAfter === undefined) session.reset();
      else session.close('going_away', retryAfter);
    };
    let drained = 0;
    const look = () => {
      const passed = nowMs() - started;
      const due = drainMs === 0 ? total : Math.min(1, passed / drainMs) * total;
      while (told.size < due) {
        const session = waiting[told.size] as Session;
        told.add(session);
        if (session.hasClosed) continue;
        // Who has to ask first cannot any more: no connection is accepted.
        if (session.member.isBetweenPolls) abandon(session, retryAfterMs(drainMs));
        else session.announceClose(retryAfterMs(drainMs));
      }
      for (const session of told) {
        if (session.hasClosed || !session.member.isDrained) continue;
        session.closeDrained();
        drained += 1;
      }
    };
    look();
    const timer = setInterval(look, DRAIN_CHECK_MS);
    try {
      await this.#open.wait({ timeoutMs: shutdownGraceMs });
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error;
    } finally {
      clearInterval(timer);
    }
    for (const { session } of this.#sessions.values()) {
      if (session.hasClosed) session.reset();
      else abandon(session);
    }
    return { drained, abandoned };
  }

  #ended({ member, transport }: Session): void {
    const entry = this.#sessions.get(member);
    if (entry === undefined) return;
    this.#sessions.delete(member);
    entry.done();
    const { remoteAddress } = transport;
    const left = (this.#perAddress.get(remoteAddress) as number) - 1;
    if (left === 0) this.#perAddress.delete(remoteAddress);
    else this.#perAddress.set(remoteAddress, left);
  }

  #isFull(address: string): boolean {
    const { maxConnections, maxConnectionsPerAddress } = this.#config;
    return (
      (maxConnections > 0 && this.#sessions.size >= maxConnections) ||
      (maxConnectionsPerAddress > 0 &&
        (this.#perAddress.get(address) ?? 0) >= maxConnectionsPerAddress)
    );
  }

  /** The peer is told why it cannot stay, and not listened to. */
  #turnAway(transport: Transport, reason: CloseReason): TransportSink {
    const { codec, observer } = this.#context;
    const { index, encoding } = transport.framing;
    const frame = encoding.encode(codec.encode(closingEvent(reason)));
    const farewell = transport.framing.join([frame], frame.length);
    observer.opened(index);
    // A transport can be closed once it has its sink.
    queueMicrotask(() => transport.close(reason, farewell, CLOSE_GRACE_MS));
    const ignore = () => {};
    return {
      stallAfterMs: CLOSE_GRACE_MS,
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

/** Not at once, not all together, and the later the longer the server takes to say goodbye. */
const retryAfterMs = (drainMs: number): number =>
  1000 + Math.floor(Math.random() * Math.max(1000, drainMs * 2));
