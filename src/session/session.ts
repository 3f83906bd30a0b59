/**
 * One connection: reads what the peer says, and has it carried out or refused.
 *
 * V11: whatever the peer sends ends here, as a reply with a code or as a close with a reason.
 *
 * Not here: when a command is begun (`inbox.ts`), what each does (`commands/`), what is queued for the
 * peer (`room/outbox.ts`), bytes (`transport/`).
 */
import { randomBytes } from 'node:crypto';
import type { Authenticator } from '../auth/authenticator.js';
import type { CloseLog } from '../close-log.js';
import { CLOSE, type CloseReason, type EndReason, isEviction, Refusal } from '../errors.js';
import type { Config } from '../options/config.js';
import type { Codec } from '../protocol/codec.js';
import type { Event } from '../protocol/events.js';
import type { CommandId, CommandLimits } from '../protocol/fields.js';
import type { Hub } from '../room/hub.js';
import type { Identity } from '../room/identity.js';
import { Member } from '../room/member.js';
import type { Observer } from '../room/observer.js';
import { clearTimeout, setTimeout } from '../time.js';
import { TokenBucket } from '../token-bucket.js';
import type { Fault, Handshake, Transport, TransportSink } from '../transport/transport.js';
import type { Turns } from '../turns.js';
import { Asking } from './asking.js';
import type { Caller, Command } from './commands/command.js';
import { commandOf } from './commands/index.js';
import { type Host, SessionIdentity } from './identity.js';
import { Inbox, type Owner, type UnderWay } from './inbox.js';
import type { People } from './people.js';
import { welcome } from './welcome.js';

/** A peer that takes nothing for this long of what says why it is closed is reset; in milliseconds. */
const CLOSE_GRACE_MS = 3000;
/** However slowly it takes that. */
const CLOSE_LIMIT_MS = 30_000;
/**
 * Frames that are no command which are answered in a second. A client that works sends none, and
 * each costs more to answer than to send.
 */
const NONSENSE_RATE = 100;
const NOTHING = Buffer.alloc(0);
/** Why somebody is made to go that nobody waits for: they are not to come back. */
const FINAL: ReadonlySet<CloseReason> = new Set<CloseReason>(['revoked', 'forbidden']);

export interface SessionContext {
  readonly config: Config;
  readonly hub: Hub;
  readonly codec: Codec;
  readonly limits: CommandLimits;
  readonly observer: Observer;
  readonly turns: Turns;
  readonly closeLog: CloseLog;
  readonly auth: Authenticator;
  readonly people: People;
  /** A mistake of ours, met while serving this session, which is closed for it. */
  failed(session: Session, error: unknown): void;
  /** Called once, when the connection is gone. */
  ended(session: Session): void;
}

export class Session implements TransportSink, Owner, Caller, Host {
  readonly member: Member;
  readonly transport: Transport;
  // Full when they are made, so they are made when they are first asked: most members only read.
  #publishes: TokenBucket | null = null;
  #joins: TokenBucket | null = null;
  #histories: TokenBucket | null = null;
  #nonsense: TokenBucket | null = null;
  readonly #context: SessionContext;
  /** Null where nobody can say who they are. */
  readonly #identity: SessionIdentity | null;
  readonly asking: Asking | null;
  #firstFrame: NodeJS.Timeout | undefined;
  readonly #inbox: Inbox;
  /** Set once no further command is carried out. */
  #isClosing = false;
  #hasClosed = false;

  constructor(
    transport: Transport,
    context: SessionContext,
    handshake: Handshake = { headers: {}, url: '', address: transport.remoteAddress },
  ) {
    const { auth, config, hub, observer } = context;
    this.transport = transport;
    this.#context = context;
    this.#inbox = new Inbox(this, context.turns, config.maxMessageBytes);
    this.member = new Member(randomBytes(9).toString('base64url'), transport, hub.memberContext);
    this.member.identity = auth.nobody;
    hub.memberships.add(this.member);
    observer.opened(transport.framing.index);
    this.member.send(welcome(this.member.id, context));
    this.#identity =
      auth.mode === 'off' ? null : new SessionIdentity(auth, context.people, this, handshake);
    this.asking = auth.app && new Asking(auth.app, this.member, handshake, context);
    if (config.firstFrameMs > 0) {
      // Those that came together are closed in the slices of evictions.
      const { evict } = hub.memberContext;
      this.#firstFrame = setTimeout(() => evict(this.member, 'nothing_sent'), config.firstFrameMs);
    }
    const begun = this.#identity?.begin();
    // What the peer says meanwhile waits behind it, as behind an `auth` of its own.
    if (begun !== undefined) this.#inbox.wait(begun, undefined);
  }

  get config(): Config {
    return this.#context.config;
  }

  get publishes(): TokenBucket {
    this.#publishes ??= new TokenBucket(this.config.publishRate);
    return this.#publishes;
  }

  get joins(): TokenBucket {
    this.#joins ??= new TokenBucket(this.config.joinRate);
    return this.#joins;
  }

  get histories(): TokenBucket {
    this.#histories ??= new TokenBucket(this.config.historyRate);
    return this.#histories;
  }

  get hub(): Hub {
    return this.#context.hub;
  }

  reply(id: CommandId | undefined, event: Event): void {
    if (id !== undefined) this.member.send(event);
  }

  async authenticate(id: CommandId | undefined, token: unknown): Promise<void> {
    if (this.#identity === null) {
      throw new Refusal('not_enabled', 'This server has no keys to check tokens with.');
    }
    await this.#identity.take(id, token);
  }

  identify(identity: Identity): number {
    return this.#context.hub.memberships.identify(this.member, identity);
  }

  send(event: Event): void {
    this.member.send(event);
  }

  get stallAfterMs(): number {
    return this.member.stallAfterMs;
  }

  /** Everything of ours is done: what is left is the transport's. */
  get hasClosed(): boolean {
    return this.#hasClosed;
  }

  received(text: string, bytes: number): void {
    if (this.#isClosing) return;
    if (this.#firstFrame !== undefined) this.#spoke();
    if (bytes > this.#context.config.maxMessageBytes) {
      this.close('message_too_big');
    } else {
      this.#inbox.received(text, bytes);
    }
  }

  receivedBinary(): void {
    if (this.#isClosing) return;
    this.#spoke();
    this.#refuseNonsense(undefined, new Refusal('binary_frame', 'The frame is binary; send text.'));
  }

  completed(): void {
    this.#attempt(() => this.member.outbox.completed());
  }

  ready(): void {
    this.#attempt(() => this.member.outbox.drain());
  }

  roundTrip(seconds: number): void {
    this.member.roundTripSeconds = seconds;
    this.#context.observer.roundTrip(this.transport.framing.index, seconds);
  }

  faulted(reason: Fault): void {
    this.close(reason);
  }

  left(): void {
    this.#isClosing = true;
    this.#hasClosed = true;
    this.#endAuth();
    this.#attempt(() => this.#context.hub.memberships.remove(this.member));
  }

  ended(reason: EndReason): void {
    this.#isClosing = true;
    this.#hasClosed = true;
    this.#spoke();
    this.#inbox.end();
    this.#endAuth();
    this.#attempt(() => this.#context.hub.memberships.remove(this.member));
    this.#context.observer.closed(this.transport.framing.index, reason);
    const { events } = this.#context.hub;
    if (events.wanted.closed) {
      const address = this.transport.remoteAddress;
      events.tell('closed', { member: this.member.id, address, reason });
    }
    this.#context.ended(this);
  }

  /** Ends the connection now: what the peer has not had is abandoned, but it is told why. */
  close(reason: CloseReason, retryAfterMs?: number): void {
    if (this.#hasClosed) return;
    this.#closes(reason);
    const farewell = this.member.farewell(closingEvent(reason, retryAfterMs));
    this.#context.hub.memberships.remove(this.member, FINAL.has(reason));
    this.transport.close(reason, farewell, CLOSE_GRACE_MS, CLOSE_LIMIT_MS);
  }

  /** Tells the peer that the server goes away; from here on it is only sent what it has queued. */
  announceClose(retryAfterMs: number): void {
    if (this.#isClosing) return;
    this.member.send(closingEvent('going_away', retryAfterMs));
    // What it has missed it can read elsewhere.
    this.hub.memberships.stopReading(this.member);
    this.#isClosing = true;
  }

  /** Closes a peer that was told to expect it and for which the kernel has all there was. */
  closeDrained(graceMs: number): void {
    if (this.#hasClosed) return;
    this.#closes('going_away');
    this.#context.hub.memberships.remove(this.member);
    this.transport.close('going_away', NOTHING, graceMs);
  }

  /** Ends the connection without a word; nothing of it is held afterwards. */
  reset(): void {
    if (!this.#hasClosed) this.#closes('going_away');
    this.#context.hub.memberships.remove(this.member);
    this.transport.reset('going_away');
  }

  hold(isHeld: boolean): void {
    this.transport.holdInput?.(isHeld);
  }

  overflowed(): void {
    this.close('rate_limited');
  }

  failed(): void {
    this.close('internal_error');
  }

  /** It is waited for no longer. */
  #spoke(): void {
    clearTimeout(this.#firstFrame);
    this.#firstFrame = undefined;
  }

  /** What the socket or a timer has us do is in front of nobody (V12). */
  #attempt(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#context.failed(this, error);
      this.close('internal_error');
    }
  }

  /** Where each close by the server begins, while what is held for the member is still there. */
  #closes(reason: CloseReason): void {
    this.#isClosing = true;
    this.#hasClosed = true;
    this.#endAuth();
    if (isEviction(reason)) this.#context.observer.evicted(reason);
    this.#context.closeLog.closed(this.member, reason);
  }

  handle(text: string, bytes: number): UnderWay | undefined {
    if (this.#isClosing) return undefined;
    const { codec, limits } = this.#context;
    let id: CommandId | undefined;
    let command: Command;
    let checked: unknown;
    try {
      const asked = codec.decode(text);
      ({ id } = asked);
      if ('refusal' in asked) throw asked.refusal;
      command = commandOf(asked.fields, bytes, limits);
      if (!command.isOpen && this.#identity?.mayAsk === false) throw unauthorised();
      checked = command.check(asked.fields, limits, asked.data);
    } catch (error) {
      this.#refuseNonsense(id, error);
      return undefined;
    }
    try {
      const done = command.run(this, id, checked);
      if (done === undefined) return undefined;
      const isHeld = command.isInOrderOfApp === true && this.asking?.holdsMessages === true;
      const isPipelined = command.isPipelined === true && !isHeld;
      return { id, done, isPipelined };
    } catch (error) {
      this.refuse(id, error);
      return undefined;
    }
  }

  #endAuth(): void {
    this.#identity?.end();
    this.asking?.end();
  }

  #refuseNonsense(id: CommandId | undefined, refusal: unknown): void {
    this.#nonsense ??= new TokenBucket(NONSENSE_RATE);
    if (this.#nonsense.take()) this.refuse(id, refusal);
    else this.close('rate_limited');
  }

  /** Answers a command that was not carried out, and closes for a mistake of ours. */
  refuse(id: CommandId | undefined, error: unknown): void {
    if (!(error instanceof Refusal)) {
      this.#context.failed(this, error);
      this.close('internal_error');
      return;
    }
    // Its peer has gone while the broker was asked: nobody is left to be refused.
    if (this.#hasClosed) return;
    this.#context.observer.refused(error.code);
    this.member.send({ type: 'error', id, code: error.code, message: error.message });
  }
}

/** What a peer is told before the server closes it. */
export function closingEvent(reason: CloseReason, retryAfterMs?: number): Event {
  const { code, text } = CLOSE[reason];
  return { type: 'closing', code, reason: text, retryAfterMs };
}

const unauthorised = () =>
  new Refusal('unauthorised', 'You have yet to say who you are; send {"type":"auth","token":…}.');
