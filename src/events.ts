/**
 * Every event that an app can listen for, and how it is told.
 *
 * V12: a listener that throws or rejects is logged and counted; nobody else notices. V2: listeners are
 * called in a microtask, when whoever caused the event has let go of its locks and loops, in the order
 * of the events. Where nobody listens for an event, nothing is made of it.
 *
 * Not here: the same for peers (`protocol/events.ts`) and for those who count (`room/observer.ts`).
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
  /** Of the peer, as `trustProxy` has it. */
  readonly address: string;
  /** Of the request that it began with: path and query. */
  readonly url: string;
  /** Of the same request: cookies and other secrets are among them. */
  readonly headers: IncomingHttpHeaders;
}

export interface JoinedEvent {
  readonly member: string;
  readonly room: string;
}

/** Also for each room of a member whose connection has ended. */
export interface LeftEvent {
  readonly member: string;
  readonly room: string;
}

/** The broker has taken a message that a member, the HTTP API or the app has published here. */
export interface PublishedEvent {
  readonly room: string;
  readonly seq: number;
  readonly epoch: string;
  /** The publishing member; null for the HTTP API and the app. */
  readonly member: string | null;
  readonly data: unknown;
  readonly key: string | undefined;
}

/** A member is told that it has missed these messages of a room, both included. */
export interface GapEvent {
  readonly member: string;
  readonly room: string;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly reason: GapReason;
}

/** A member has another state of health than before. */
export interface HealthEvent {
  readonly member: string;
  readonly state: HealthState;
  readonly queued: { readonly messages: number; readonly bytes: number };
}

/** The connection of a member has ended. */
export interface ClosedEvent {
  readonly member: string;
  readonly address: string;
  /** Why the server closed it; `client`: its peer did; `lost`: the connection broke. */
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

/** May be async; it is not waited for. */
export type Listener<Name extends EventName> = (event: RoomcastEvents[Name]) => unknown;

export type Listeners = { readonly [Name in EventName]?: Listener<Name> };

interface EventsOptions {
  readonly log: Pick<Log, 'error'>;
  /** Told of each failure of a listener. */
  readonly count: (name: EventName) => void;
}

type AnyListener = (event: object) => unknown;

export class Events {
  /** Which are listened for: to be looked at before an event is made. */
  readonly wanted: Record<EventName, boolean> = {
    connected: false,
    joined: false,
    left: false,
    published: false,
    gap: false,
    health: false,
    closed: false,
  };
  /** A new array for each change: those who are being told are not changed meanwhile. */
  readonly #listeners = new Map<EventName, readonly AnyListener[]>();
  readonly #options: EventsOptions;
  readonly #failures: FailureLog;
  #untold: { readonly name: EventName; readonly event: object }[] = [];

  constructor(options: EventsOptions = { log: silent, count: () => {} }) {
    this.#options = options;
    this.#failures = new FailureLog(options.log);
  }

  /** Returns what ends it. Each call adds a listener, also of the same function. */
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
    if (this.#untold.length === 0) queueMicrotask(() => this.#tellAll());
    this.#untold.push({ name, event: Object.freeze(event) });
  }

  /** What a member is told that an app can listen for too. */
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

  #tellAll(): void {
    const untold = this.#untold;
    this.#untold = [];
    for (const { name, event } of untold) {
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
