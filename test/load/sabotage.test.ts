/**
 * Runs the generator against servers with one fault each: each run must fail in the check of that fault, and
 * in no checks except those that the fault may affect too. On a machine that is too busy to judge times,
 * failures of times and late messages are void, and the run is repeated; wrong messages always fail.
 */
import { expect, test, vi } from 'vitest';
import { loadTest } from '../../src/load/load-test.js';
import { resolvePlan, type Scenario } from '../../src/load/plan.js';
import type { LoadReport } from '../../src/load/report/report.js';
import type { TargetSpec } from '../../src/load/targets/index.js';
import { targetSpec } from '../support/load-fakes.js';
import {
  type Client,
  type Message,
  type Room,
  type SmallRoomServer,
  type Steps,
  startSmallRoomServer,
} from '../support/small-room-server.js';

/** No slow members, for faults that need none. Two rooms, 100 messages a second in total. */
const HEALTHY: Scenario = {
  members: '8',
  rooms: '2',
  rate: '100/s',
  size: '2KiB',
  rampUp: '0',
  settle: '100ms',
  warmup: '0',
  calm: '1s',
  drain: '500ms',
  silence: '400ms',
};

/** One member stops reading, in three turns. */
const SLOW: Scenario = {
  ...HEALTHY,
  rooms: '1',
  calm: '1200ms',
  fill: '500ms',
  slow: '1500ms',
  rest: '400ms',
  cohorts: ['stalled=1'],
};

/** Two members are disconnected repeatedly, and rejoin with their position. */
const BACK: Scenario = {
  ...HEALTHY,
  calm: '300ms',
  slow: '900ms',
  fill: '0',
  turns: '1',
  cohorts: ['vanishing=2,stay=150ms,back=100ms,since=true'],
};

/** One member pauses repeatedly, and requests what it missed meanwhile. */
const ASKS: Scenario = {
  ...HEALTHY,
  rooms: '1',
  size: '8KiB',
  calm: '300ms',
  slow: '1s',
  fill: '0',
  turns: '1',
  cohorts: ['sawtooth=1,read=100ms,pause=500ms,backfill=true'],
};

/** Two members are disconnected repeatedly, and rejoin without a position. */
const AWAY: Scenario = { ...BACK, cohorts: ['vanishing=2,stay=150ms,back=100ms'] };

/** The same server, as one that neither numbers nor acknowledges. */
const UNNUMBERED: Partial<TargetSpec> = {
  name: 'ws',
  templates: {
    join: '{"type":"join","room":"{room}"}',
    publish: '{"type":"publish","room":"{room}","data":"{data}"}',
  },
};

/** Connections before the first reconnect: the first contact, the members, the publishers of two rooms. */
const FIRST_CONNECTIONS = 1 + 8 + 2;

const load = (
  url: string,
  scenario: Scenario,
  target: Partial<TargetSpec> = {},
): Promise<LoadReport> => {
  const plan = resolvePlan(scenario, targetSpec('roomcast', url, target), 1, 'abcd');
  return loadTest(plan, { roomcast: 'test', repeat: 1 });
};

const named = ({ verdict }: LoadReport, ...statuses: string[]): string[] =>
  verdict.checks.filter(({ status }) => statuses.includes(status)).map(({ name }) => name);

const text = ({ verdict }: LoadReport, name: string): string | undefined =>
  verdict.checks.find((check) => check.name === name)?.text;

/** Whether the machine was idle enough to judge times. */
const isFit = (report: LoadReport, { fails, instead }: Sabotage): boolean =>
  report.verdict.unfit === null &&
  (report.verdict.outcome !== 'void' || instead?.outcome === 'void') &&
  !named(report, 'void').some((name) => fails.includes(name));

interface Sabotage {
  readonly fault: (server: SmallRoomServer) => Partial<Steps>;
  readonly scenario?: Scenario;
  readonly target?: Partial<TargetSpec>;
  /** Checks that must fail. */
  readonly fails: string[];
  /** The first of them must fail however busy the machine is: a wrong message arrives. */
  readonly always?: true;
  /** The first of them must not pass however busy the machine is: it depends on no times. */
  readonly seen?: true;
  /** The outcome of the run, if it is not `failed`, and the check that causes it. */
  readonly instead?: { readonly outcome: 'void' | 'incomplete'; readonly check: string };
  /** Checks that may fail too, because the fault affects them. */
  readonly also?: string[];
  /** Text of the first of them. */
  readonly says?: RegExp;
}

/** Holds messages back while `held()` is true, and then sends them in order. */
function holding(
  server: SmallRoomServer,
  held: (client: Client, room: Room) => boolean,
): Partial<Steps> {
  const waiting: [Client, Room, () => void][] = [];
  server.every(5, () => {
    const behind = new Map<Client, Set<Room>>();
    const still = waiting.splice(0).filter(([client, room, send]) => {
      const wait = behind.get(client)?.has(room) || held(client, room);
      if (wait) behind.set(client, (behind.get(client) ?? new Set()).add(room));
      else send();
      return wait;
    });
    waiting.unshift(...still);
  });
  return {
    deliver(client, room, message, send) {
      const behind = waiting.some(([other, where]) => other === client && where === room);
      if (held(client, room) || behind) waiting.push([client, room, () => send(message)]);
      else send(message);
    },
  };
}

/** Counts the calls with the same key, from 1. */
function counting<Key extends object>(): (key: Key) => number {
  const counts = new WeakMap<Key, number>();
  return (key) => {
    const n = (counts.get(key) ?? 0) + 1;
    counts.set(key, n);
    return n;
  };
}

/** Milliseconds since the first publish. */
function sinceStart(): { publish: Steps['publish']; ms(): number } {
  let start = 0;
  return {
    publish(_client, _room, _data, next) {
      start ||= performance.now();
      next();
    },
    ms: () => (start === 0 ? 0 : performance.now() - start),
  };
}

const SABOTAGES: Record<string, Sabotage> = {
  // ── Effects of a slow member on the others ──
  'all members wait for the slow one': {
    scenario: SLOW,
    fault: (server) => holding(server, () => server.anySlow()),
    fails: ['flow'],
    also: ['isolation'],
    says: /in each of 3 turns while others were slow, and at no other time: slow members delay the rest/,
  },
  'all messages are batched for 350 ms while a member is slow': {
    scenario: { ...SLOW, silence: '2s' },
    fault: (server) => holding(server, () => server.anySlow() && performance.now() % 350 < 330),
    fails: ['isolation'],
    says: /healthy p99 with slow members over without is \d+\.\d+ \(\d+\.\d+–\d+\.\d+ in 3 turns\)/,
  },
  'half of the messages to healthy members are dropped and announced while a member is slow': {
    scenario: SLOW,
    fault(server) {
      const nth = counting<Client>();
      return {
        deliver(client, room, message, send) {
          if (server.isSlow(client) || !server.anySlow() || nth(client) % 2 === 1) send(message);
          else server.gap(client, room, message.seq, message.seq);
        },
      };
    },
    fails: ['losses'],
    seen: true,
    says: /healthy members lost [\d,]+ of [\d,]+ messages .* 0 not/,
  },
  'one room stalls while a member of it is slow': {
    scenario: { ...SLOW, rooms: '2' },
    fault: (server) => holding(server, (_, room) => [...room.members].some(server.isSlow)),
    fails: ['flow'],
    also: ['isolation'],
  },
  'every join delays all members for 300 ms': {
    scenario: {
      ...SLOW,
      fill: '0',
      rest: '900ms',
      silence: '2s',
      cohorts: ['churning=2,stay=300ms,away=50ms'],
    },
    fault(server) {
      let until = 0;
      const hold = holding(server, () => performance.now() < until);
      return {
        ...hold,
        join(client, _room, next) {
          if (client.acknowledged > 0) until = Math.max(until, performance.now() + 300);
          next();
        },
      };
    },
    fails: ['isolation'],
    // Messages held back stay in bounded queues.
    also: ['losses'],
  },
  'stalled members are disconnected too late': {
    // Long enough that the reset is detected while they are stalled: the generator probes every 250 ms,
    // and an end that it detects only once they read again has an unknown time.
    scenario: { ...SLOW, slow: '1700ms', calm: '300ms', evictWithin: '700ms' },
    fault(server) {
      const since = new Map<Client, number>();
      server.every(10, () => {
        for (const client of server.clients) {
          if (!server.isSlow(client)) since.delete(client);
          else if (!since.has(client)) since.set(client, performance.now());
          else if (performance.now() - since.get(client)! > 850) client.socket.resetAndDestroy();
        }
      });
      return {};
    },
    fails: ['evictions'],
  },
  'stalled members are never disconnected': {
    scenario: { ...SLOW, slow: '900ms', calm: '300ms', evictWithin: '700ms' },
    fault: () => ({}),
    fails: ['evictions'],
    seen: true,
    says: /^0 of 1 stalled member disconnected/,
  },

  'other members are disconnected, and stalled ones are not': {
    scenario: {
      ...SLOW,
      members: '9',
      slow: '2500ms',
      calm: '300ms',
      evictWithin: '700ms',
      cohorts: ['stalled=1', 'sawtooth=1,read=50ms,pause=100ms'],
    },
    fault(server) {
      server.evictions = 0;
      return {
        deliver(client, _room, message, send) {
          send(message);
          // Neither of the two: a healthy member is disconnected, and counted.
          if (message.seq !== 60 || server.evictions === 1 || server.isSlow(client)) return;
          server.evictions = 1;
          client.socket.resetAndDestroy();
        },
      };
    },
    fails: ['evictions'],
    seen: true,
    also: ['kept', 'losses'],
    says: /^0 of 1 stalled member disconnected/,
  },
  'slow members are disconnected at once': {
    scenario: { ...SLOW, calm: '1200ms', slow: '3s', turns: '1' },
    fault(server) {
      server.every(10, () => {
        for (const client of server.clients) {
          if (server.isSlow(client)) client.socket.resetAndDestroy();
        }
      });
      return {};
    },
    fails: [],
    instead: { outcome: 'void', check: 'isolation' },
    says: /^slow members were connected in \d of \d seconds of slow/,
  },

  // ── Messages lost, repeated, reordered or changed ──
  '1 % of the messages is lost unannounced': {
    fault() {
      const nth = counting<Client>();
      return {
        deliver: (client, _room, message, send) => {
          if (nth(client) % 100 !== 40) send(message);
        },
      };
    },
    fails: ['accounting', 'losses'],
    always: true,
    says: /healthy: \d+ lost without a gap/,
  },
  'one message of one of many members is lost unannounced': {
    fault() {
      let lost = false;
      return {
        deliver(client, _room, message, send) {
          if (client.index === 3 && message.seq === 20 && !lost) lost = true;
          else send(message);
        },
      };
    },
    fails: ['accounting', 'losses'],
    always: true,
    says: /healthy: 1 lost without a gap/,
  },
  'the last message never arrives': {
    // 50 are due in each room, and then a last one.
    fault: () => ({
      deliver(_client, _room, message, send) {
        if (message.seq <= 50) send(message);
      },
    }),
    fails: ['accounting', 'losses'],
    seen: true,
    says: /neither received nor announced by/,
  },
  'every second message to members that read everything is dropped and announced': {
    fault(server) {
      return {
        deliver(client, room, message, send) {
          if (message.seq % 2 === 1) send(message);
          else server.gap(client, room, message.seq, message.seq);
        },
      };
    },
    fails: ['losses'],
    seen: true,
    says: /healthy members lost \d+ of \d+ messages \((49|50)[.\d]* %\): \d+ announced, 0 not/,
  },
  'a message arrives twice': {
    fault: () => ({
      deliver(_client, _room, message, send) {
        send(message);
        if (message.seq === 20) send(message);
      },
    }),
    fails: ['order'],
    always: true,
    says: /8 twice/,
  },
  'two messages of a room are swapped': {
    fault() {
      const held = new Map<Client, Message>();
      return {
        deliver(client, _room, message, send) {
          if (message.seq === 20) held.set(client, message);
          else send(message);
          if (message.seq === 21) send(held.get(client)!);
        },
      };
    },
    fails: ['order'],
    always: true,
    says: /8 messages out of order/,
  },
  'messages of one room reach the members of another': {
    fault: (server) => ({
      deliver(_client, room, message, send) {
        send(message);
        if (message.seq !== 20 || room.index !== 0) return;
        const other = [...server.clients].find(({ rooms }) => rooms.size > 0 && !rooms.has(room));
        other?.ws.send(
          `{"type":"message","room":"${[...other.rooms.keys()][0]?.name}","seq":21,"from":null,"at":0,"data":"${message.data}"}`,
        );
      },
    }),
    fails: ['order'],
    always: true,
    says: /[1-9]\d* in the wrong room/,
  },
  'a message names another room': {
    fault: () => ({
      deliver: (_client, _room, message, send) =>
        send(message.seq === 20 ? { ...message, room: 'load:abcd-9999' } : message),
    }),
    fails: ['order'],
    always: true,
    says: /, 8 in the wrong room,/,
  },
  'messages are truncated at the end': {
    fault: () => ({
      deliver(_client, _room, message, send) {
        send(message.seq === 20 ? { ...message, data: message.data.slice(0, -5) } : message);
      },
    }),
    fails: ['accounting', 'losses'],
    seen: true,
  },
  'messages are truncated at the beginning': {
    fault: () => ({
      deliver(_client, _room, message, send) {
        send(message.seq === 20 ? { ...message, data: message.data.slice(7) } : message);
      },
    }),
    fails: ['order'],
    always: true,
    says: /8 with a changed payload/,
  },
  'a byte of a message is changed': {
    fault: () => ({
      deliver(_client, _room, message, send) {
        const data = `${message.data.slice(0, 900)}x${message.data.slice(901)}`;
        send(message.seq === 20 ? { ...message, data } : message);
      },
    }),
    fails: ['order'],
    always: true,
    says: /8 with a changed payload/,
  },
  'a digit of a stamp is changed': {
    fault: () => ({
      deliver(_client, _room, message, send) {
        const at = message.data.length - 34 + 10;
        const data = `${message.data.slice(0, at)}f${message.data.slice(at + 1)}`;
        send(message.seq === 20 ? { ...message, data } : message);
      },
    }),
    fails: ['order'],
    always: true,
  },
  'a gap announces losses that did not happen': {
    fault: (server) => ({
      deliver(client, room, message, send) {
        if (message.seq === 20) server.gap(client, room, 20, 20);
        send(message);
      },
    }),
    fails: ['order', 'losses'],
    always: true,
    says: /8 twice/,
  },
  'a gap names the wrong messages': {
    fault: (server) => ({
      deliver(client, room, message, send) {
        if (message.seq === 20) server.gap(client, room, 21, 21);
        else if (message.seq !== 21) send(message);
      },
    }),
    fails: ['accounting', 'losses'],
    always: true,
    says: /8 gaps did not match what was missing/,
  },
  'a gap names messages after the last one': {
    // Of each room 50 messages are due, and one more is its last.
    fault: (server) => ({
      deliver(client, room, message, send) {
        send(message);
        if (message.seq === 51) server.gap(client, room, 52, 60);
      },
    }),
    fails: ['accounting', 'losses'],
    always: true,
    says: /8 gaps did not match what was missing/,
  },

  // ── Rejoins with a position ──
  'missed messages are not sent after a rejoin that was answered as complete': {
    scenario: BACK,
    fault: () => ({ resume: (_client, _room, missed) => missed.slice(1) }),
    fails: ['accounting'],
    always: true,
    says: /vanishing: \d+ lost without a gap/,
  },
  'messages before the position are sent again after a rejoin': {
    scenario: BACK,
    fault: () => ({
      resume: (_client, _room, missed) => missed.flatMap((message) => [message, message]),
    }),
    fails: ['order'],
    always: true,
    says: /\d+ twice/,
  },
  'a gap announces a loss that did not happen after a rejoin': {
    scenario: BACK,
    fault: (server) => ({
      resume(client, room, missed) {
        const last = missed.at(-1);
        if (last) setTimeout(() => server.gap(client, room, last.seq, last.seq), 20);
        return missed;
      },
    }),
    fails: ['accounting'],
    always: true,
    says: /vanishing: \d+ gaps? did not match/,
  },

  // ── Rejoins without a position ──
  'the join of a reconnected member is never answered': {
    scenario: AWAY,
    fault: () => ({
      join(client, _room, next) {
        if (client.index < FIRST_CONNECTIONS) next();
      },
    }),
    fails: ['joined'],
    seen: true,
    says: /^\d+ members? could not join: not back when the drain ended \(\d+\)$/,
  },
  'the join of a member that has left is never answered': {
    scenario: { ...AWAY, cohorts: ['churning=2,stay=150ms,away=100ms'] },
    fault() {
      const nth = counting<Client>();
      return {
        join(client, _room, next) {
          if (nth(client) === 1) next();
        },
      };
    },
    fails: ['joined'],
    seen: true,
    says: /^\d+ members? could not join: not back when the drain ended \(\d+\)$/,
  },
  'the join of a member that has left is refused': {
    scenario: { ...AWAY, cohorts: ['churning=2,stay=150ms,away=100ms'] },
    fault() {
      const nth = counting<Client>();
      return {
        join(client, _room, next) {
          if (nth(client) === 1) next();
          else client.ws.send('{"type":"error","id":1,"code":"rate_limited","message":"no"}');
        },
      };
    },
    fails: ['joined'],
    seen: true,
    says: /could not join: refused: rate_limited \(\d+\)$/,
  },
  'a member that has left and joins again is disconnected': {
    scenario: { ...AWAY, cohorts: ['churning=2,stay=150ms,away=100ms'] },
    fault() {
      const nth = counting<Client>();
      return {
        join(client, _room, next) {
          next();
          if (nth(client) === 2) setTimeout(() => client.ws.close(4101, 'slow consumer'), 30);
        },
      };
    },
    fails: ['kept'],
    says: /the server ended .*: 4101 slow consumer/,
  },
  'a reconnected member receives nothing, from a server without numbers': {
    scenario: { ...AWAY, recover: '2s' },
    target: UNNUMBERED,
    fault: () => ({
      deliver(client, _room, message, send) {
        if (client.index < FIRST_CONNECTIONS) send(message);
      },
    }),
    fails: ['accounting'],
    seen: true,
    says: /^vanishing: 2 neither received nor announced by 2 members/,
  },

  // ── Backfill ──
  'a requested message is left out': {
    scenario: ASKS,
    fault: () => ({ history: (_client, _room, asked, answer) => answer(asked.slice(1)) }),
    fails: ['backfill'],
    says: /; \d+ were neither sent nor named as not kept/,
  },
  'requested messages arrive twice': {
    scenario: ASKS,
    fault: () => ({ history: (_client, _room, asked, answer) => answer([...asked, ...asked]) }),
    fails: ['backfill'],
    always: true,
    says: /; \d+ were not requested, out of order, or other messages/,
  },
  'other messages arrive with the requested numbers': {
    scenario: ASKS,
    fault: () => ({
      history: (_client, room, asked, answer) =>
        answer(asked.map((message) => ({ ...message, data: room.kept[0]!.data }))),
    }),
    fails: ['backfill'],
    always: true,
    says: /; \d+ were not requested, out of order, or other messages/,
  },
  'a byte of a requested message is changed': {
    scenario: ASKS,
    fault: () => ({
      history: (_client, _room, asked, answer) =>
        answer(asked.map((message) => ({ ...message, data: `x${message.data.slice(1)}` }))),
    }),
    fails: ['order'],
    always: true,
    says: /[1-9]\d* with a changed payload/,
  },
  'a request is never answered': {
    scenario: ASKS,
    fault: () => ({
      // The first contact is answered: otherwise nothing would be measured.
      history(client, _room, asked, answer) {
        if (client.index === 0) answer(asked);
      },
    }),
    fails: ['backfill'],
    seen: true,
    says: /; \d+ had no answer when the drain ended/,
  },
  'messages to the others are dropped and announced while a member receives its backfill': {
    scenario: ASKS,
    fault(server) {
      let asker: Client | undefined;
      let dropped = 0;
      return {
        history(client, _room, asked, answer) {
          if (client.index > 0) asker = client;
          answer(asked);
        },
        deliver(client, room, message, send) {
          if (asker === undefined || client === asker || dropped >= 7) send(message);
          else {
            dropped++;
            server.gap(client, room, message.seq, message.seq);
          }
        },
      };
    },
    fails: ['losses'],
    says: /healthy members lost 7 of [\d,]+ messages .*: 7 announced, 0 not/,
  },

  // ── Replies to publishers ──
  'a publish is confirmed with a number too low': {
    fault: () => ({ confirm: (_room, seq) => Math.floor(seq / 2) }),
    fails: ['accounting'],
    always: true,
    says: /publishes neither numbered nor refused/,
  },
  'a publish is confirmed with a number too high': {
    fault: () => ({ confirm: (_room, seq) => seq + 100 }),
    fails: ['accounting'],
    always: true,
    also: ['losses'],
    says: /messages numbered, but only/,
  },
  'nothing is confirmed': {
    fault: () => ({ confirm: () => null }),
    fails: ['confirmed'],
    seen: true,
    says: /the last message of 2 of 2 publishers was not confirmed/,
  },
  'publishes are lost, neither refused nor numbered': {
    fault() {
      let n = 0;
      return {
        publish(_client, _room, _data, next) {
          // The last ones arrive: what nobody confirms is not counted as lost.
          if (++n % 10 !== 0 || n > 80) next();
        },
      };
    },
    fails: ['accounting'],
    always: true,
  },
  'most publishes are refused': {
    fault() {
      let n = 0;
      return {
        publish(client, _room, _data, next) {
          if (++n % 16 === 0) next();
          else client.ws.send('{"type":"error","code":"rate_limited","message":"no"}');
        },
      };
    },
    fails: ['offered'],
    also: ['flow', 'confirmed'],
    says: /of \d+ messages due, \d+ were refused: rate_limited/,
  },

  // ── Freezes and disconnects ──
  'it freezes with the first message': {
    fault: () => ({ publish() {} }),
    fails: ['flow', 'confirmed'],
    also: ['accounting', 'losses'],
  },
  'it freezes for a while in the middle': {
    scenario: { ...SLOW, size: '1KiB' },
    fault(server) {
      const start = sinceStart();
      const hold = holding(server, () => start.ms() > 2750 && start.ms() < 3350);
      return { ...hold, publish: start.publish };
    },
    fails: ['flow'],
    also: ['isolation'],
    says: /(but in \d of 3 turns only|not only while others were slow)/,
  },
  'it freezes before the end, and goes on after it': {
    scenario: { ...HEALTHY, drain: '3s' },
    fault(server) {
      const start = sinceStart();
      // Shorter than the silence limit before publishing ends.
      const hold = holding(server, () => start.ms() > 800 && start.ms() < 1700);
      return { ...hold, publish: start.publish };
    },
    fails: ['flow'],
    says: /^in phase calm, 8 of 8 healthy members got nothing for up to/,
  },
  'it freezes shortly before the end': {
    fault() {
      const start = sinceStart();
      return {
        publish(client, room, data, next) {
          start.publish(client, room, data, () => {
            if (start.ms() < 800) next();
          });
        },
      };
    },
    fails: ['confirmed'],
    says: /healthy members have received \d+ of about \d+ messages; what happened to the rest is unknown/,
  },
  'one healthy member receives nothing': {
    fault() {
      return {
        deliver(client, _room, message, send) {
          if (client.index !== 3) send(message);
        },
      };
    },
    fails: ['flow', 'accounting', 'losses'],
    says: /1 of 8 healthy members got nothing/,
  },
  'healthy members are closed': {
    fault: () => ({
      deliver(client, _room, message, send) {
        send(message);
        if (message.seq === 20 && client.index === 3) client.ws.close(4101, 'slow consumer');
        if (message.seq === 25 && client.index === 4) client.socket.resetAndDestroy();
      },
    }),
    fails: ['kept'],
    seen: true,
    says: /the server ended 2 connections/,
  },
  'publishers are closed': {
    fault: () => ({
      publish(client, room, _data, next) {
        next();
        if (room.seq === 20) client.ws.close(4101, 'slow consumer');
      },
    }),
    fails: ['kept', 'offered'],
    seen: true,
    also: ['confirmed', 'flow'],
    says: /the server ended 2 connections .*: 4101 slow consumer/,
  },
  'members are refused': {
    fault: () => ({
      join(client, _room, next) {
        if (client.index !== 3) next();
        else client.ws.close(4100, 'over capacity');
      },
    }),
    fails: ['joined'],
    seen: true,
    says: /1 member could not join: 4100 over capacity/,
  },

  // ── Slowness that only a threshold of the user can detect ──
  'joins are slow': {
    scenario: { ...HEALTHY, failIf: ['healthy.joins.p99>300ms'] },
    fault: () => ({
      join(client, _room, next) {
        if (client.index === 0) next();
        else setTimeout(next, 600);
      },
    }),
    fails: ['fail-if healthy.joins.p99>300ms'],
  },
  'a publisher’s own copy is slow': {
    scenario: { ...HEALTHY, publishFrom: 'members', failIf: ['healthy.p99>250ms'] },
    fault() {
      const own = new WeakMap<Client, number>();
      return {
        deliver(client, _room, message, send) {
          // Later messages stay behind the copy: only this member is delayed.
          if (message.from === client) own.set(client, performance.now() + 400);
          const wait = (own.get(client) ?? 0) - performance.now();
          if (wait > 0) setTimeout(() => send(message), 400);
          else send(message);
        },
      };
    },
    fails: ['fail-if healthy.p99>250ms'],
    also: ['order'],
  },
};

// Many at a time: a run spends most of its time waiting.
vi.setConfig({ maxConcurrency: 10 });
test.concurrent.each(Object.entries(SABOTAGES))(
  'found: %s',
  async (_, sabotage) => {
    const {
      fault,
      scenario = HEALTHY,
      target,
      fails,
      also = [],
      says,
      always,
      seen,
      instead,
    } = sabotage;
    const once = async (): Promise<LoadReport> => {
      const server = await startSmallRoomServer(fault);
      try {
        return await load(server.url, scenario, target);
      } finally {
        await server.close();
      }
    };
    const isForThat = (name: string) => fails.includes(name) || also.includes(name);
    let report = await once();
    const isAsExpected = (): boolean =>
      isFit(report, sabotage) &&
      named(report, 'failed').every(isForThat) &&
      (instead === undefined || report.verdict.outcome === instead.outcome);
    // Another process may delay healthy members for a moment: the run is repeated, and must find the fault.
    for (let n = 0; n < 2 && !isAsExpected(); n += 1) report = await once();
    const all = JSON.stringify(report.verdict, null, 1);
    if (always) expect(named(report, 'failed'), all).toContain(fails[0]);
    if (seen) expect(named(report, 'failed', 'void'), all).toContain(fails[0]);
    // If the machine was too busy for times in all three runs, only check that it did not pass.
    if (!isFit(report, sabotage))
      return expect(['failed', 'void'], all).toContain(report.verdict.outcome);
    const failed = named(report, 'failed');
    expect(failed, all).toEqual(expect.arrayContaining(fails));
    expect([...fails, ...also], all).toEqual(expect.arrayContaining(failed));
    const { outcome = 'failed', check = fails[0]! } = instead ?? {};
    expect(report.verdict.outcome, all).toBe(outcome);
    if (says) expect(text(report, check), all).toMatch(says);
  },
  120_000,
);
