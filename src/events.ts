/**
 * Every event that an app can listen for, and the dispatch to its listeners.
 *
 * V12: a listener that throws or rejects is logged and counted; nobody else notices. V2: listeners run in
 * a microtask, after the code that caused the event has released its locks and left its loops, in the
 * order of the events. Without a listener for an event, no event object is created.
 *
 * Not here: events sent to clients (`protocol/events.ts`) and to the metrics (`room/observer.ts`).
 */
import type { IncomingHttpHeaders } from 'node:http';
import { errorFields, tokensOf } from './app-error.js';
import type { EndReason } from './errors.js';
import { FailureLog, type Log, silent } from './log.js';
import type { Event, GapReason, HealthState } from './protocol/events.js';
import { isThenable } from './thenable.js';
import { queueMicrotask } from './time.js';
import type { TransportName } from './transport/transport.js';

/** A connection has become a member. */
export interface ConnectedEvent {
  readonly member: string;
  readonly transport: TransportName;
  /** Address of the client, resolved according to `trustProxy`. */
  readonly address: string;
  /** Path and query of the request that opened the connection. */
  readonly url: string;
  /** Headers of the same request, with cookies and other secrets. */
  readonly headers: IncomingHttpHeaders;
}

export interface JoinedEvent {
  readonly member: string;
  /** The authenticated user; null without one. */
  readonly user: string | null;
  readonly room: string;
}

/** Also sent for each room of a member whose connection has ended. */
export interface LeftEvent {
  readonly member: string;
  /** The authenticated user; null without one. */
  readonly user: string | null;
  readonly room: string;
}

/** The broker has accepted a message that a member, the HTTP API or the app published on this node. */
export interface PublishedEvent {
  readonly room: string;
  readonly seq: number;
  readonly epoch: string;
  /** The publishing member; null for the HTTP API and the app. */
  readonly member: string | null;
  /** Its authenticated user; null without one. */
  readonly user: string | null;
  readonly data: unknown;
  readonly key: string | undefined;
}

/** The server has told a member that it missed the messages `from` to `to` of a room, both included. */
export interface GapEvent {
  readonly member: string;
  readonly room: string;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly reason: GapReason;
}

/** The health of a member has changed. */
export interface HealthEvent {
  readonly member: string;
  readonly state: HealthState;
  readonly queued: { readonly messages: number; readonly bytes: number };
}

/** The connection of a member has ended. */
export interface ClosedEvent {
  readonly member: string;
  /** The authenticated user; null without one. */
  readonly user: string | null;
  readonly address: string;
  /** Why the server closed it; `client`: the client closed it; `lost`: the connection broke. */
  readonly reason: EndReason;
}

export interface RoomcastEvents {
  readonly connected: ConnectedEvent;
  readonly joined: JoinedEvent;
  readonly left: LeftEvent;
  readonly published: PublishedEvent;
  readonly gap: GapEvent;
  readonly health: HealthEvent;
  readonly closed: ClosedEvent;
}

export const EVENTS = [
  'connected',
  'joined',
  'left',
  'published',
  'gap',
  'health',
  'closed',
] as const satisfies readonly (keyof RoomcastEvents)[];

export type EventName = (typeof EVENTS)[number];

/** May be async; the server does not wait for it. */
export type Listener<Name extends EventName> = (event: RoomcastEvents[Name]) => unknown;

export type Listeners = { readonly [Name in EventName]?: Listener<Name> };

interface EventsOptions {
  readonly log: Pick<Log, 'error'>;
  /** Called for each failure of a listener. */
  readonly count: (name: EventName) => void;
}

type AnyListener = (event: object) => unknown;

export class Events {
  /** Events that have a listener. Check it before creating an event. */
  readonly wanted: Record<EventName, boolean> = {
    connected: false,
    joined: false,
    left: false,
    published: false,
    gap: false,
    health: false,
    closed: false,
  };
  /** Each change creates a new array, so that a dispatch in progress is not affected. */
  readonly #listeners = new Map<EventName, readonly AnyListener[]>();
  readonly #options: EventsOptions;
  readonly #failures: FailureLog;
  #pending: { readonly name: EventName; readonly event: object }[] = [];

  constructor(options: EventsOptions = { log: silent, count: () => {} }) {
    this.#options = options;
    this.#failures = new FailureLog(options.log);
  }

  /** Returns a function that removes the listener. Each call adds one, even for the same function. */
  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void {
    const own: AnyListener = (event) => listener(event as RoomcastEvents[Name]);
    this.#set(name, [...this.#of(name), own]);
    return () => {
      this.#set(
        name,
        this.#of(name).filter((each) => each !== own),
      );
    };
  }

  tell<Name extends EventName>(name: Name, event: RoomcastEvents[Name]): void {
    if (!this.wanted[name]) return;
    if (this.#pending.length === 0) queueMicrotask(() => this.#dispatch());
    this.#pending.push({ name, event: Object.freeze(event) });
  }

  /** Called for each event sent to a member; dispatches those that an app can listen for. */
  said(member: string, event: Event): void {
    if (event.type === 'gap' && this.wanted.gap) {
      const { room, from, to, count, reason } = event;
      this.tell('gap', { member, room, from, to, count, reason });
    } else if (event.type === 'health' && this.wanted.health) {
      const { state, queued } = event;
      this.tell('health', { member, state, queued });
    }
  }

  #of(name: EventName): readonly AnyListener[] {
    return this.#listeners.get(name) ?? [];
  }

  #set(name: EventName, listeners: readonly AnyListener[]): void {
    this.#listeners.set(name, listeners);
    this.wanted[name] = listeners.length > 0;
  }

  #dispatch(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const { name, event } of pending) {
      for (const listener of this.#of(name)) this.#call(name, listener, event);
    }
  }

  #call(name: EventName, listener: AnyListener, event: object): void {
    try {
      const answer = listener(event);
      if (isThenable(answer)) answer.then(undefined, (error) => this.#failed(name, event, error));
    } catch (error) {
      this.#failed(name, event, error);
    }
  }

  #failed(name: EventName, event: Partial<ConnectedEvent>, error: unknown): void {
    this.#options.count(name);
    const tokens = event.headers === undefined ? [] : tokensOf({ headers: event.headers });
    this.#failures.add({ ...errorFields(error, tokens), event: name }, 'a listener failed');
  }
}
