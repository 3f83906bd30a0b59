/**
 * One connection: decodes the peer's frames, runs their commands and replies, and closes the connection.
 *
 * V11: a bad frame from the peer ends here, as a reply with an error code or as a close with a reason.
 *
 * Not here: when a command starts (`inbox.ts`), the commands (`commands/`), messages queued for the peer
 * (`room/outbox.ts`), bytes on the wire (`transport/`).
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

/** How long a peer may take nothing of the closing batch before it is reset, in milliseconds. */
const CLOSE_GRACE_MS = 3000;
/** How long a peer may take for the whole closing batch, in milliseconds. */
const CLOSE_LIMIT_MS = 30_000;
/**
 * Invalid frames answered per second. A working client sends none, and answering costs more than
 * sending.
 */
const NONSENSE_RATE = 100;
const NOTHING = Buffer.alloc(0);
/** Close reasons after which presence does not wait for the user, since they must not come back. */
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
  /** An internal error while serving this session, which is then closed. */
  failed(session: Session, error: unknown): void;
  /** Called once, when the connection is gone. */
  ended(session: Session): void;
}

export class Session implements TransportSink, Owner, Caller, Host {
  readonly member: Member;
  readonly transport: Transport;
  // Created at first use, since a bucket starts full and most members only read.
  #publishes: TokenBucket | null = null;
  #joins: TokenBucket | null = null;
  #histories: TokenBucket | null = null;
  #nonsense: TokenBucket | null = null;
  readonly #context: SessionContext;
  /** Null if authentication is off. */
  readonly #identity: SessionIdentity | null;
  readonly asking: Asking | null;
  /** Ends the wait for the first frame; undefined once there is none. */
  #firstFrame: (() => void) | undefined;
  readonly #inbox: Inbox;
  /** Set once no further command is run. */
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
      // By way of `evict`, so that many that connected together are closed in slices.
      const { clock, evict } = hub.memberContext;
      this.#firstFrame = clock.after(config.firstFrameMs, () => evict(this.member, 'nothing_sent'));
    }
    const begun = this.#identity?.begin();
    // Later frames wait for it, as they would behind an `auth` command.
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

  /** The session has closed; only the transport may still be busy. */
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
      const { remoteAddress: address } = this.transport;
      const { id: member, identity } = this.member;
      events.tell('closed', { member, user: identity.user, address, reason });
    }
    this.#context.ended(this);
  }

  /** Closes the connection now. Undelivered messages are abandoned; the peer gets a `closing` event. */
  close(reason: CloseReason, text?: string): void {
    if (this.#hasClosed) return;
    this.#closes(reason, text);
    const farewell = this.member.farewell(closingEvent(reason, undefined, text));
    this.#context.hub.memberships.remove(this.member, FINAL.has(reason));
    this.transport.close(reason, farewell, CLOSE_GRACE_MS, CLOSE_LIMIT_MS);
  }

  /** Tells the peer that the server shuts down. From now on it is only sent what it has queued. */
  announceClose(retryAfterMs: number): void {
    if (this.#isClosing) return;
    this.member.send(closingEvent('going_away', retryAfterMs));
    // The client can recover missed messages from another node.
    this.hub.memberships.stopReading(this.member);
    this.#isClosing = true;
  }

  /** Closes a peer that was told to expect it and whose messages the kernel has all taken. */
  closeDrained(graceMs: number): void {
    if (this.#hasClosed) return;
    this.#closes('going_away');
    this.#context.hub.memberships.remove(this.member);
    this.transport.close('going_away', NOTHING, graceMs);
  }

  /** Resets the connection without telling the peer, and releases everything held for it. */
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

  #spoke(): void {
    this.#firstFrame?.();
    this.#firstFrame = undefined;
  }

  /** Calls from a socket or timer have no caller that could catch an exception (V12). */
  #attempt(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#context.failed(this, error);
      this.close('internal_error');
    }
  }

  /** Every close by the server starts here, while everything held for the member still exists. */
  #closes(reason: CloseReason, text?: string): void {
    this.#isClosing = true;
    this.#hasClosed = true;
    this.#endAuth();
    if (isEviction(reason)) this.#context.observer.evicted(reason);
    this.#context.closeLog.closed(this.member, reason, text);
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

  /** Replies with the error of a failed command; closes the connection if the error is internal. */
  refuse(id: CommandId | undefined, error: unknown): void {
    if (!(error instanceof Refusal)) {
      this.#context.failed(this, error);
      this.close('internal_error');
      return;
    }
    // The connection closed while the broker was asked: there is no peer to reply to.
    if (this.#hasClosed) return;
    this.#context.observer.refused(error.code);
    this.member.send({ type: 'error', id, code: error.code, message: error.message });
  }
}

/** The event that a peer is sent before the server closes its connection. */
export function closingEvent(reason: CloseReason, retryAfterMs?: number, text?: string): Event {
  const { code, text: usual } = CLOSE[reason];
  return { type: 'closing', code, reason: text ?? usual, retryAfterMs };
}

const unauthorised = () =>
  new Refusal(
    'unauthorised',
    'This connection is not authenticated; send {"type":"auth","token":…}.',
  );
