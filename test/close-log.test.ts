/** Log lines for evicted or closed members and for refused connections. */
import { once } from 'node:events';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { CloseLog } from '../src/close-log.js';
import { CLOSE, type CloseReason, type EndReason, isEviction } from '../src/errors.js';
import { atLevel, type Log } from '../src/log.js';
import { END_REASONS } from '../src/metrics/catalogue/connections.js';
import { FakeTransport } from './support/fake-transport.js';
import { connectReading } from './support/reading-peer.js';
import { serve } from './support/server.js';
import { Signal } from './support/signal.js';
import { freezeClocks, startCore } from './support/virtual.js';

interface Line {
  readonly level: 'info' | 'warn' | 'error';
  readonly text: string;
  readonly reason?: string;
  readonly queuedMessages?: number;
  readonly unconfirmedMessages?: number;
  readonly count?: number;
  readonly reasons?: Readonly<Partial<Record<string, number>>>;
  readonly [field: string]: unknown;
}

/** A log that keeps its lines. */
function keeping() {
  const lines: Line[] = [];
  const changed = new Signal();
  const at = (level: Line['level']) => (fields: object, text: string) => {
    lines.push({ level, text, ...fields });
    changed.fire();
  };
  const log: Log = { info: at('info'), warn: at('warn'), error: at('error') };
  return { lines, log, until: (condition: () => boolean) => changed.until(condition) };
}

/** Number of closes and refusals that these lines account for. */
const told = (lines: readonly Line[]) => lines.reduce((sum, { count = 1 }) => sum + count, 0);

describe('a line', () => {
  test('names the evicted member, the reason and its queue', async () => {
    const { lines, log } = keeping();
    const { core, settle } = startCore({ log });
    const peer = core.connect();
    for (const room of ['a', 'b', 'c', 'd']) {
      peer.say({ type: 'join', room });
      await settle();
    }
    peer.transport.stall();
    peer.transport.unconfirmedMessages = 7;
    for (let n = 0; n < 3; n += 1) void core.hub.publish(null, 'a', '1');
    await settle();
    const { queuedMessages, queuedBytes, outbox } = peer.member;
    const { unconfirmedMessages } = outbox;
    expect(queuedMessages).toBe(3);
    expect(queuedBytes).toBeGreaterThan(0);
    peer.session.close('slow_consumer');
    expect(lines).toEqual([
      {
        level: 'warn',
        text: 'a member was evicted',
        reason: 'slow_consumer',
        code: 4101,
        address: '192.0.2.1',
        transport: 'websocket',
        member: peer.member.id,
        rooms: ['a', 'b', 'c'],
        roomCount: 4,
        queuedMessages,
        queuedBytes,
        unconfirmedMessages,
      },
    ]);
  });

  test.each(Object.keys(CLOSE) as CloseReason[])(
    'is written once for %s, and says evicted if it is an eviction',
    async (reason) => {
      const { lines, log } = keeping();
      const { core } = startCore({ log });
      const peer = core.connect();
      peer.session.close(reason);
      peer.session.close('forbidden');
      peer.session.reset();
      const isWarning = ['internal_error', 'over_capacity'].includes(reason) || isEviction(reason);
      const text = isEviction(reason) ? 'a member was evicted' : 'a member was closed';
      expect(lines).toMatchObject([{ level: isWarning ? 'warn' : 'info', text, reason }]);
      const counted = END_REASONS.filter((_, row) => core.observer.evictedBy[row] === 1);
      expect(counted).toEqual(isEviction(reason) ? [reason] : []);
    },
  );

  test('says evicted if the client was too slow, too fast, or did not answer', () => {
    const ends: readonly EndReason[] = END_REASONS;
    expect(ends.filter(isEviction).sort()).toEqual([
      'control_overflow',
      'heartbeat_missed',
      'memory_pressure',
      'rate_limited',
      'slow_consumer',
    ]);
  });

  test('is written for a drained or reset member, not for one that leaves', async () => {
    const { lines, log } = keeping();
    const { core } = startCore({ log });
    const [drained, reset, left] = [core.connect(), core.connect(), core.connect()];
    left.transport.break();
    expect(lines).toEqual([]);
    drained.session.closeDrained(1000);
    reset.session.reset();
    const going = { level: 'info', text: 'a member was closed', reason: 'going_away', code: 4200 };
    expect(lines).toMatchObject([
      { ...going, member: drained.member.id },
      { ...going, member: reset.member.id },
    ]);
  });
});

describe('more than ten events in a second', () => {
  /** Causes `count` refusals and returns their lines. */
  function start(count: number, level: 'info' | 'warn' = 'info') {
    freezeClocks();
    onTestFinished(() => void vi.useRealTimers());
    const { lines, log } = keeping();
    const closeLog = new CloseLog(atLevel(log, { logLevel: level }, () => {}));
    const refuse = (count: number, reason: CloseReason = 'over_capacity') => {
      for (let n = 0; n < count; n += 1) closeLog.refused(new FakeTransport(), reason);
    };
    refuse(count);
    return { lines, closeLog, refuse };
  }

  test('give one further line per second, with the count of each reason', () => {
    const { lines, refuse } = start(1000);
    refuse(244, 'rate_limited');
    expect(lines).toHaveLength(10);
    vi.advanceTimersByTime(1000);
    expect(lines.slice(10)).toEqual([
      {
        level: 'warn',
        text: '1,234 more connections were closed or refused',
        count: 1234,
        reasons: { over_capacity: 990, rate_limited: 244 },
      },
    ]);
    refuse(11);
    expect(lines).toHaveLength(21);
    vi.advanceTimersByTime(1000);
    expect(lines).toHaveLength(22);
    expect(told(lines)).toBe(1255);
  });

  test('share one limit for all kinds of refusal', () => {
    const { lines, closeLog } = start(6);
    for (let n = 0; n < 6; n += 1) closeLog.refusedSocket('address', '192.0.2.7');
    vi.advanceTimersByTime(1000);
    const text = 'a connection was refused';
    expect(lines[6]).toEqual({ level: 'warn', text, reason: 'address', address: '192.0.2.7' });
    expect(lines[10]).toMatchObject({ count: 2, reasons: { address: 2 } });
  });

  test('give no further line if nothing was suppressed', () => {
    const { lines } = start(10);
    vi.advanceTimersByTime(10_000);
    expect(lines).toHaveLength(10);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('do not suppress lines of the other level, even if that level is not logged', () => {
    const { lines, refuse } = start(0, 'warn');
    refuse(1000, 'going_away');
    refuse(1);
    expect(lines).toMatchObject([{ level: 'warn', reason: 'over_capacity' }]);
  });

  test('are flushed at close, and no timer is left', () => {
    const { lines, closeLog } = start(100);
    closeLog.close();
    expect(told(lines)).toBe(100);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('over real connections', () => {
  test('a member that does not read is evicted and logged', { timeout: 60_000 }, async () => {
    const { lines, log, until } = keeping();
    const server = await serve({ stallAfterMs: 1000 }, log);
    const peer = await connectReading('websocket', server.url);
    peer.say({ type: 'join', id: 1, room: 'news' });
    await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
    peer.stall();
    while (server.members()[0]!.queued.messages < 2) {
      await server.publish('news', 'x'.repeat(60_000));
      await new Promise(setImmediate);
    }
    await until(() => lines.length > 0);
    const [line] = lines;
    expect(line).toEqual({
      level: 'warn',
      text: 'a member was evicted',
      reason: 'slow_consumer',
      code: CLOSE.slow_consumer.code,
      address: '127.0.0.1',
      transport: 'websocket',
      member: peer.id,
      rooms: ['news'],
      roomCount: 1,
      queuedMessages: expect.any(Number),
      queuedBytes: expect.any(Number),
      unconfirmedMessages: expect.any(Number),
    });
    expect(line?.queuedMessages).toBeGreaterThanOrEqual(2);
    expect(line?.unconfirmedMessages).toBeGreaterThan(0);
  });

  test('a token that is not accepted is logged with the reason, which the client is told too', async () => {
    const { lines, log } = keeping();
    const server = await serve({ tokenSecret: ['s'.repeat(32)] }, log);
    const peer = await connectReading('websocket', server.url);
    peer.say({ type: 'auth', id: 1, token: 'x' });
    await peer.until(() => peer.events.some(({ type }) => type === 'closing'));
    const why = 'The token is not a JWT; it must be three base64url parts separated by dots.';
    expect(lines).toMatchObject([{ level: 'info', reason: 'unauthorised', code: 4001, why }]);
    expect(peer.events).toContainEqual({ type: 'closing', code: 4001, reason: why });
  });

  test('a client that answers no heartbeat is evicted', { timeout: 60_000 }, async () => {
    const { lines, log } = keeping();
    const server = await serve({ heartbeatMs: 1000 }, log);
    const deaf = new WebSocket(`${server.url.replace('http', 'ws')}/ws`, { autoPong: false });
    expect((await once(deaf, 'close'))[0]).toBe(4201);
    expect(lines).toMatchObject([{ level: 'warn', reason: 'heartbeat_missed' }]);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain('roomcast_evictions_total{reason="heartbeat_missed"} 1\n');
  });

  test('a flood of refused connections gives few lines, whose counts add up', {
    timeout: 60_000,
  }, async () => {
    const FLOOD = 200;
    const { lines, log } = keeping();
    const server = await serve({ maxConnections: 1 }, log);
    await connectReading('websocket', server.url);
    const started = performance.now();
    const url = `${server.url.replace('http', 'ws')}/ws`;
    const codes = await Promise.all(
      Array.from({ length: FLOOD }, async () => (await once(new WebSocket(url), 'close'))[0]),
    );
    expect(new Set(codes)).toEqual(new Set([4100]));
    const seconds = Math.ceil((performance.now() - started) / 1000) + 1;
    await server.close();
    const warnings = lines.filter(({ level }) => level === 'warn');
    expect(told(warnings)).toBe(FLOOD);
    expect(warnings.length).toBeLessThanOrEqual(11 * seconds);
    expect(warnings[0]).toEqual({
      level: 'warn',
      text: 'a connection was refused',
      reason: 'over_capacity',
      code: 4100,
      address: '127.0.0.1',
      transport: 'websocket',
    });
    const closed = lines.filter(({ level }) => level === 'info');
    expect(closed).toMatchObject([{ text: 'a member was closed', reason: 'going_away' }]);
  });
});
