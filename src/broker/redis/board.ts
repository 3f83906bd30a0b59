/**
 * Presence of all nodes, kept in Redis. Each node writes and publishes its own shares, and reads those
 * of other nodes for the rooms in which it has members. A node's shares are valid as long as its lease,
 * so unchanged members cost no traffic.
 *
 * V19: the version number of the next change, or a check every `positionCheckMs`, reveals a missed
 * change, and the room is read again. After a lost link the node sends all its shares again. V8:
 * `close` ends all timers.
 *
 * Not here: sending this node's shares (`board-lanes.ts`), the lease (`ticks.ts`), the scripts
 * (`board-scripts.ts`), parsing (`board-format.ts`), what is made of the shares (`room/`).
 */
import { Refusal } from '../../errors.js';
import {
  clearInterval,
  clearTimeout,
  nowMs,
  setImmediate,
  setInterval,
  setTimeout,
} from '../../time.js';
import type { Board, BoardEvents, Share } from '../broker.js';
import { parseTold, sharesOf } from './board-format.js';
import { Lanes } from './board-lanes.js';
import { ALIVE, CHANGED, PRESENT } from './board-scripts.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';

/** Rooms read per script. */
const ROOMS_A_SCRIPT = 20;
/** Rooms compared per script. */
const ROOMS_A_CHECK = 100;
/** Ticks between two checks for expired leases. */
const TICKS_A_LOOK = 2;
/**
 * After a reconnect the other nodes reconnect too and resend their shares. Nodes missing after this
 * time with a link, which may be several links, are gone.
 */
const COME_BACK_MS = 5000;

const NOBODY: BoardEvents = { told() {}, gone() {}, own: () => [], rooms: () => [] };

/** A room with members at this node. */
interface Open {
  readonly room: string;
  /** Version of the last change applied; null while unknown. */
  v: number | null;
  /** Changes received while the room is being read; null otherwise. */
  held: string[] | null;
  /** Reads without an answer yet. */
  reads: number;
  readonly nodes: Set<string>;
}

export interface BoardConfig {
  readonly node: string;
  readonly keys: Keys;
  readonly idleRoomMs: number;
  readonly tickMs: number;
  /** A message could not be parsed. */
  unreadable(): void;
}

export class RedisBoard implements Board {
  readonly #config: BoardConfig;
  readonly #rooms = new Map<string, Open>();
  readonly #lanes: Lanes;
  readonly #toOpen = new Set<Open>();
  readonly #toLeave = new Set<string>();
  #events = NOBODY;
  #link: Link | null = null;
  #look: NodeJS.Timeout | undefined;
  #comeBack: NodeJS.Timeout | undefined;
  #upAt = 0;
  /** What is left of `COME_BACK_MS`, as of `#upAt`. */
  #comeBackMs = COME_BACK_MS;
  #isScheduled = false;
  /** Nodes that sent a change since the leases were queried: they are alive. */
  readonly #heard = new Set<string>();

  constructor(config: BoardConfig) {
    this.#config = config;
    this.#lanes = new Lanes({ ...config, own: (room) => this.#events.own(room) });
  }

  attach(events: BoardEvents): void {
    this.#events = events;
  }

  enter(room: string): void {
    this.#toLeave.delete(room);
    const open = { room, v: null, held: [], reads: 0, nodes: new Set<string>() };
    this.#rooms.set(room, open);
    this.#toOpen.add(open);
    this.#schedule();
  }

  leave(room: string): boolean {
    const open = this.#rooms.get(room);
    if (open === undefined) return true;
    this.#rooms.delete(room);
    this.#toOpen.delete(open);
    this.#toLeave.add(room);
    this.#schedule();
    return true;
  }

  tell(room: string, shares: readonly Share[]): void {
    this.#lanes.tell(room, shares);
  }

  async read(room: string): Promise<readonly (readonly [string, Share[]])[]> {
    const link = this.#link;
    if (link === null) throw unavailable();
    try {
      const [answer] = await this.#ask(link, [room]);
      return [...sharesOf(answer?.fields ?? [], this.#config.unreadable)];
    } catch (error) {
      throw link.isOpen ? error : unavailable();
    }
  }

  /** A new link: sends all of this node's shares and reads all rooms. */
  async up(link: Link): Promise<void> {
    this.#link = link;
    const everyMs = TICKS_A_LOOK * this.#config.tickMs;
    this.#look = setInterval(() => this.#lookForGone(link), everyMs).unref();
    this.#lanes.up(link, this.#rooms.keys());
    const before = [...this.#rooms.values()].filter((open) => !this.#toOpen.has(open));
    this.#schedule();
    if (before.length === 0) return;
    this.#upAt = nowMs();
    this.#comeBack = setTimeout(() => {
      this.#comeBack = undefined;
      this.#comeBackMs = 0;
      this.#reread(before, () => {
        this.#comeBackMs = COME_BACK_MS;
      });
    }, this.#comeBackMs).unref();
    await link.subscribe(before.map(({ room }) => this.#config.keys.board(room)));
  }

  /** This node's lease had expired: nodes that read a room since have dropped its shares. */
  lapsed(): void {
    this.#lanes.tellAll(this.#rooms.keys());
    // If Redis refused writes, the other nodes renew their leases within a tick.
    for (const { nodes } of this.#rooms.values()) for (const node of nodes) this.#heard.add(node);
    this.#look?.refresh();
  }

  down(): void {
    this.#link = null;
    this.#lanes.down();
    clearInterval(this.#look);
    if (this.#comeBack !== undefined) this.#comeBackMs -= nowMs() - this.#upAt;
    clearTimeout(this.#comeBack);
    this.#comeBack = undefined;
    for (const open of this.#rooms.values()) {
      open.v = null;
      open.reads = 0;
      // The room is read again after `COME_BACK_MS`; until then changes are applied as they arrive.
      if (!this.#toOpen.has(open)) open.held = null;
    }
    this.#toLeave.clear();
  }

  close(): void {
    this.down();
    this.#events = NOBODY;
    this.#rooms.clear();
    this.#lanes.close();
    this.#toOpen.clear();
  }

  /** A message from a room's presence channel. */
  message(channel: string, text: string): void {
    const open = this.#rooms.get(this.#config.keys.room(channel));
    if (open === undefined) return;
    if (open.held !== null) open.held.push(text);
    else this.#take(open, text);
  }

  #take(open: Open, text: string): void {
    const told = parseTold(text);
    if (told === null) {
      this.#config.unreadable();
      return;
    }
    const { v, node, isWhole, shares } = told;
    if (open.v !== null && v <= open.v) return;
    if (open.v !== null && v > open.v + 1) {
      open.held = [text];
      this.#reread([open]);
      return;
    }
    if (open.v !== null) open.v = v;
    if (node === this.#config.node) return;
    open.nodes.add(node);
    this.#heard.add(node);
    this.#events.told(open.room, node, shares, isWhole);
  }

  #schedule(): void {
    if (this.#isScheduled || this.#link === null) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      const link = this.#link;
      if (link !== null) this.#openAll(link).catch((error: Error) => link.end(error));
    });
  }

  /** Subscribes to rooms before reading them, so that no change is missed in between. */
  async #openAll(link: Link): Promise<void> {
    const { keys } = this.#config;
    const opening = [...this.#toOpen];
    const leaving = [...this.#toLeave].map((room) => keys.board(room));
    this.#toLeave.clear();
    if (leaving.length > 0) await link.unsubscribe(leaving);
    if (opening.length === 0) return;
    await link.subscribe(opening.map(({ room }) => keys.board(room)));
    for (const open of opening) this.#toOpen.delete(open);
    await this.#readAll(link, opening);
  }

  /** `done` is called unless the link ends before. */
  #reread(opens: readonly Open[], done = () => {}): void {
    const link = this.#link;
    if (link === null) return;
    this.#readAll(link, opens)
      .then(() => this.#link === link && done())
      .catch((error: Error) => link.end(error));
  }

  async #readAll(link: Link, opens: readonly Open[]): Promise<void> {
    for (let next = 0; next < opens.length; next += ROOMS_A_SCRIPT) {
      const part = opens
        .slice(next, next + ROOMS_A_SCRIPT)
        .filter((open) => this.#rooms.get(open.room) === open);
      if (part.length === 0) continue;
      for (const open of part) {
        open.held ??= [];
        open.reads += 1;
      }
      const answers = await this.#ask(
        link,
        part.map(({ room }) => room),
      );
      if (this.#link !== link) return;
      for (const [i, { v, fields }] of answers.entries()) {
        const open = part[i] as Open;
        open.reads -= 1;
        // Of concurrent reads only the last counts: changes applied meanwhile may be newer than the others.
        if (open.reads > 0 || this.#rooms.get(open.room) !== open) continue;
        this.#opened(open, v, fields);
      }
    }
  }

  #opened(open: Open, v: number, fields: readonly string[]): void {
    const { node: own, unreadable } = this.#config;
    const all = sharesOf(fields, unreadable);
    const { room } = open;
    const mine = all.get(own)?.length ?? 0;
    all.delete(own);
    for (const node of open.nodes) {
      if (all.has(node)) continue;
      open.nodes.delete(node);
      this.#events.told(room, node, [], true);
    }
    for (const [node, shares] of all) {
      open.nodes.add(node);
      this.#events.told(room, node, shares, true);
    }
    open.v = v;
    const held = open.held ?? [];
    open.held = null;
    for (const text of held) {
      if (open.held === null) this.#take(open, text);
      else (open.held as string[]).push(text);
    }
    if (this.#lanes.has(room) || mine === [...this.#events.own(room)].length) return;
    // Redis has lost shares of this node.
    this.#lanes.tellAll([room]);
  }

  async #ask(
    link: Link,
    rooms: readonly string[],
  ): Promise<{ v: number; fields: readonly string[] }[]> {
    const { keys, idleRoomMs } = this.#config;
    const reply = (await link.run(
      PRESENT,
      [keys.term, ...rooms.map((room) => keys.presence(room))],
      [keys.node(''), String(idleRoomMs), this.#config.node],
    )) as readonly (readonly string[])[];
    return reply.map(([v, ...fields]) => ({ v: Number(v), fields }));
  }

  /**
   * Reads rooms again whose changes were missed, and renews their expiry in Redis. A change in transit
   * during the check causes one unnecessary read.
   */
  async check(): Promise<void> {
    const link = this.#link;
    if (link === null) return;
    const { keys, idleRoomMs } = this.#config;
    const opens = [...this.#rooms.values()].filter(({ v, held }) => v !== null && held === null);
    for (let next = 0; next < opens.length; next += ROOMS_A_CHECK) {
      const part = opens.slice(next, next + ROOMS_A_CHECK);
      const places = (await link.run(
        CHANGED,
        [keys.term, ...part.map(({ room }) => keys.presence(room))],
        [String(idleRoomMs), ...part.map(({ v }) => String(v))],
      )) as readonly number[];
      if (this.#link !== link) return;
      this.#reread(
        places.map((place) => part[place - 1] as Open).filter(({ held }) => held === null),
      );
    }
  }

  async #lookForGone(link: Link): Promise<void> {
    this.#lanes.tellAgain();
    // Leases of nodes that are still to come back may have expired, or are lost with the data.
    if (this.#comeBack !== undefined) return;
    const all = [...new Set([...this.#rooms.values()].flatMap(({ nodes }) => [...nodes]))];
    if (all.length === 0) return;
    const { keys, node: own } = this.#config;
    this.#heard.clear();
    try {
      const alive = (await link.run(
        ALIVE,
        [keys.term, ...[own, ...all].map((node) => keys.node(node))],
        [],
      )) as readonly number[];
      for (const [i, node] of all.entries()) {
        if (alive[i] !== 0 || this.#heard.has(node)) continue;
        for (const open of this.#rooms.values()) open.nodes.delete(node);
        this.#events.gone(node);
      }
    } catch {
      // The link has ended, or is about to.
    }
  }
}

const unavailable = () =>
  new Refusal('broker_unavailable', 'Presence is unknown: there is no connection to Redis.');
