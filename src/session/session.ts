/**
 * One connection: reads what the peer says, and has it carried out or refused.
 * Commands of a connection are carried out one after another, so that a publish behind a join
 * finds the room joined.
 *
 * V11: whatever the peer sends ends here, as a reply with a code or as a close with a reason.
 *
 * Not here: what each command does (`commands/`), what is queued for the peer (`room/member.ts`), bytes (`transport/`).
 */
import { randomBytes } from 'node:crypto';
import type { CloseLog } from '../close-log.js';
import { CLOSE, type CloseReason, type EndReason, isEviction, Refusal } from '../errors.js';
import type { Config } from '../options/config.js';
import type { Codec } from '../protocol/codec.js';
import { type Event, type Feature, PROTOCOL_VERSION } from '../protocol/events.js';
import type { CommandId, CommandLimits } from '../protocol/fields.js';
import type { Hub } from '../room/hub.js';
import { Member } from '../room/member.js';
import type { Observer } from '../room/observer.js';
import { clearTimeout, setTimeout } from '../time.js';
import { TokenBucket } from '../token-bucket.js';
import type { Fault, Transport, TransportSink } from '../transport/transport.js';
import type { Share, Turns, Work } from '../turns.js';
import type { Caller, Command } from './commands/command.js';
import { commandOf } from './commands/index.js';

/** A peer that takes nothing for this long of what says why it is closed is reset; in milliseconds. */
const CLOSE_GRACE_MS = 3000;
/** However slowly it takes that. */
const CLOSE_LIMIT_MS = 30_000;
/** What a peer may have waiting behind a command that waits for the broker, in bytes. */
const INBOX_BYTES = 256 * 1024;
/** Above this a peer whose transport can do so is not read from, until all that waits is done. */
const HOLD_BYTES = INBOX_BYTES / 2;
/** What a frame waiting there costs beside its text. */
const INBOX_FRAME_BYTES = 64;
/**
 * Frames that are no command which are answered in a second. A client that works sends none, and
 * each costs more to answer than to send.
 */
const NONSENSE_RATE = 100;
const NOTHING = Buffer.alloc(0);
const FEATURES: readonly Feature[] = ['uid'];

export interface SessionContext {
  readonly config: Config;
  readonly hub: Hub;
  readonly codec: Codec;
  readonly limits: CommandLimits;
  readonly observer: Observer;
  readonly turns: Turns;
  readonly closeLog: CloseLog;
  /** A mistake of ours, met while serving this session, which is closed for it. */
  failed(session: Session, error: unknown): void;
  /** Called once, when the connection is gone. */
  ended(session: Session): void;
}

export class Session implements TransportSink, Work, Caller {
  readonly member: Member;
  readonly transport: Transport;
  readonly publishes: TokenBucket;
  readonly joins: TokenBucket;
  readonly #context: SessionContext;
  readonly #nonsense = new TokenBucket(NONSENSE_RATE);
  #firstFrame: NodeJS.Timeout | undefined;
  #isBusy = false;
  #inbox: { text: string; bytes: number }[] = [];
  #inboxBytes = 0;
  /** For commands of the inbox; null until the first of them. */
  #share: Share | null = null;
  /** Set once no further command is carried out. */
  #isClosing = false;
  #hasClosed = false;

  constructor(transport: Transport, context: SessionContext) {
    const { config, hub, observer } = context;
    this.transport = transport;
    this.#context = context;
    this.publishes = new TokenBucket(config.publishRate);
    this.joins = new TokenBucket(config.joinRate);
    this.member = new Member(randomBytes(9).toString('base64url'), transport, hub.memberContext);
    hub.add(this.member);
    observer.opened(transport.framing.index);
    this.member.send({
      type: 'welcome',
      version: PROTOCOL_VERSION,
      member: this.member.id,
      heartbeatMs: config.heartbeatMs,
      limits: {
        maxMessageBytes: config.maxMessageBytes,
        maxRoomsPerMember: config.maxRoomsPerMember,
        maxRoomNameLength: config.maxRoomNameLength,
        publishRate: config.publishRate,
        joinRate: config.joinRate,
      },
      features: FEATURES,
      auth: 'off',
    });
    if (config.firstFrameMs > 0) {
      this.#firstFrame = setTimeout(() => this.close('bad_request'), config.firstFrameMs);
    }
  }

  get config(): Config {
    return this.#context.config;
  }

  get hub(): Hub {
    return this.#context.hub;
  }

  reply(id: CommandId | undefined, event: Event): void {
    if (id !== undefined) this.member.send(event);
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
    clearTimeout(this.#firstFrame);
    if (bytes > this.#context.config.maxMessageBytes) {
      this.close('message_too_big');
    } else if (this.#isBusy || this.#inbox.length > 0) {
      this.#share ??= this.#context.turns.share(this);
      this.#inbox.push({ text, bytes });
      this.#inboxBytes += bytes + INBOX_FRAME_BYTES;
      if (this.#inboxBytes > INBOX_BYTES) this.close('rate_limited');
      else if (this.#inboxBytes > HOLD_BYTES) this.transport.holdInput?.(true);
    } else {
      this.#handle(text, bytes);
    }
  }

  receivedBinary(): void {
    if (this.#isClosing) return;
    clearTimeout(this.#firstFrame);
    this.#refuseNonsense(undefined, new Refusal('binary_frame', 'The frame is binary; send text.'));
  }

  completed(): void {
    this.member.completed();
  }

  ready(): void {
    this.member.drain();
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
    this.#context.hub.remove(this.member);
  }

  ended(reason: EndReason): void {
    this.#isClosing = true;
    this.#hasClosed = true;
    clearTimeout(this.#firstFrame);
    this.#inbox = [];
    this.#share?.end();
    this.#context.hub.remove(this.member);
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
    this.#context.hub.remove(this.member);
    this.transport.close(reason, farewell, CLOSE_GRACE_MS, CLOSE_LIMIT_MS);
  }

  /** Tells the peer that the server goes away; from here on it is only sent what it has queued. */
  announceClose(retryAfterMs: number): void {
    if (this.#isClosing) return;
    this.member.send(closingEvent('going_away', retryAfterMs));
    this.#isClosing = true;
  }

  /** Closes a peer that was told to expect it and for which the kernel has all there was. */
  closeDrained(graceMs: number): void {
    if (this.#hasClosed) return;
    this.#closes('going_away');
    this.#context.hub.remove(this.member);
    this.transport.close('going_away', NOTHING, graceMs);
  }

  /** Ends the connection without a word; nothing of it is held afterwards. */
  reset(): void {
    if (!this.#hasClosed) this.#closes('going_away');
    this.#context.hub.remove(this.member);
    this.transport.reset('going_away');
  }

  /** Carries out the next command of the inbox. */
  step(): boolean {
    const next = this.#isBusy || this.#isClosing ? undefined : this.#inbox.shift();
    if (next === undefined) return false;
    this.#inboxBytes -= next.bytes + INBOX_FRAME_BYTES;
    this.#handle(next.text, next.bytes);
    if (this.#inbox.length === 0) this.transport.holdInput?.(false);
    return !this.#isBusy && this.#inbox.length > 0;
  }

  held(): void {
    // The inbox has a bound of its own.
  }

  released(): void {
    // As above.
  }

  starved(): void {
    this.close('rate_limited');
  }

  /** Where each close by the server begins, while what is held for the member is still there. */
  #closes(reason: CloseReason): void {
    this.#isClosing = true;
    this.#hasClosed = true;
    if (isEviction(reason)) this.#context.observer.evicted(reason);
    this.#context.closeLog.closed(this.member, reason);
  }

  #handle(text: string, bytes: number): void {
    const { codec, limits } = this.#context;
    let id: CommandId | undefined;
    let command: Command;
    let checked: unknown;
    try {
      const asked = codec.decode(text);
      ({ id } = asked);
      if ('refusal' in asked) throw asked.refusal;
      command = commandOf(asked.fields, bytes, limits);
      checked = command.check(asked.fields, limits);
    } catch (error) {
      this.#refuseNonsense(id, error);
      return;
    }
    try {
      const done = command.run(this, id, checked);
      if (done !== undefined) this.#wait(id, done);
    } catch (error) {
      this.#refuse(id, error);
    }
  }

  /** Holds later commands back until this one is done. */
  #wait(id: CommandId | undefined, done: Promise<void>): void {
    this.#isBusy = true;
    done
      .catch((error: unknown) => this.#refuse(id, error))
      .finally(() => {
        this.#isBusy = false;
        this.#share?.run();
      });
  }

  #refuseNonsense(id: CommandId | undefined, refusal: unknown): void {
    if (this.#nonsense.take()) this.#refuse(id, refusal);
    else this.close('rate_limited');
  }

  #refuse(id: CommandId | undefined, error: unknown): void {
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
