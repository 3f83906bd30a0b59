/** The reaction to each kind of connection loss: the table of close codes row by row, silence, sleep. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { connect } from '../../client/src/index.js';
import { rig, URL } from './rig.js';
import { ScriptedServer } from './scripted-server.js';

describe('a lost connection', () => {
  it('is retried after a pause with full jitter that doubles up to thirty seconds', async () => {
    const { server, states, pass } = rig();
    await pass(10);
    server.isUp = false;
    server.socket.drop();
    const pauses: number[] = [];
    await pass(400_000);
    const times = server.opened.map(({ at }) => at);
    for (let i = 2; i < 9; i += 1) pauses.push(Math.round((times[i]! - times[i - 1]!) / 100) / 10);
    expect(pauses).toEqual([1, 2, 4, 8, 15, 15, 15]);
    expect(states.slice(0, 3)).toEqual(['online', 'waiting 1006', 'connecting']);
  });

  it('starts again with the first pause only after ten seconds online', async () => {
    const { server, pass } = rig();
    const pauseAfter = async (ms: number) => {
      await pass(ms);
      const at = Date.now();
      server.socket.drop();
      await pass(16_000);
      return server.opened.at(-1)!.at - at;
    };
    expect(await pauseAfter(10)).toBeCloseTo(501, 0);
    // Each connection was online for 16 s minus its pause.
    const quick = async () => {
      const at = Date.now();
      server.socket.drop();
      await vi.advanceTimersByTimeAsync(2_500);
      return server.opened.at(-1)!.at - at;
    };
    expect(await quick()).toBeCloseTo(501, 0);
    expect(await quick()).toBeCloseTo(1001, 0);
    expect(await quick()).toBeCloseTo(2001, 0);
  });

  it('spreads a thousand clients evenly over the first second', async () => {
    vi.useFakeTimers({ now: 0 });
    onTestFinished(() => void vi.useRealTimers());
    const buckets = new Array<number>(10).fill(0);
    let drawn = 1;
    const random = () => {
      drawn = (drawn * 48_271) % 2_147_483_647;
      return drawn / 2_147_483_647;
    };
    for (let i = 0; i < 1000; i += 1) {
      const server = new ScriptedServer();
      server.isUp = false;
      const began = Date.now();
      const client = connect(URL, { lifecycle: false, random, WebSocket: server.open });
      await vi.advanceTimersByTimeAsync(1001);
      await client.close();
      buckets[Math.floor((server.opened[1]!.at - began - 1) / 100)]! += 1;
    }
    // No pause is below 100 ms, so shorter draws fall on that value.
    expect(buckets[0]).toBe(0);
    expect(buckets[1]).toBeLessThan(300);
    for (const count of buckets.slice(2)) expect(count).toBeLessThan(150);
  });

  it.each([
    // code, retryAfterMs, first pause at random 0.5
    [1000, undefined, 500],
    [1001, undefined, 500],
    [1002, undefined, 500],
    [1006, undefined, 500],
    [1011, undefined, 500],
    [1012, undefined, 500],
    [1013, undefined, 500],
    [1014, undefined, 500],
    // SockJS close codes.
    [2010, undefined, 500],
    [3000, undefined, 500],
    [4009, undefined, 500],
    [4013, undefined, 500],
    [4100, undefined, 1000],
    [4100, 7000, 7000],
    [4101, undefined, 500],
    [4102, undefined, 500],
    [4103, undefined, 1000],
    [4104, 3000, 3000],
    [4105, undefined, 500],
    [4106, undefined, 500],
    [4107, undefined, 500],
    [4199, undefined, 500],
    [4199, 2500, 2500],
    [4200, undefined, 2500],
    [4200, 8000, 8000],
    [4201, undefined, 0],
    [4299, 6000, 6000],
    [4300, undefined, 500],
    // Invalid values of retryAfterMs count as missing; the clients still must not all return at once.
    [4100, 'soon', 1000],
    [4100, -5000, 500],
    [4200, 0, 500],
    [4200, 'soon', 2500],
  ])('with code %s (retryAfterMs %s) waits %s ms', async (code, retryAfterMs, ms) => {
    const { server, client, states, pass } = rig();
    await pass(100);
    server.socket.evict(code, retryAfterMs as number);
    await pass(5);
    const at = Date.now();
    if (ms > 0) expect(states.at(-1)).toBe(`waiting ${code}`);
    await pass(10_000);
    expect(server.opened[1]!.at - at).toBeGreaterThan(ms - 10);
    expect(server.opened[1]!.at - at).toBeLessThan(ms + 10);
    expect(client.state).toBe('online');
  });

  it.each([4000, 4001, 4003, 4005, 4050, 4099])('with code %s is final', async (code) => {
    const { server, client, states, pass } = rig();
    await pass(100);
    const told = client.room('a').join();
    await pass(10);
    await told;
    server.socket.evict(code);
    await pass(100_000);
    expect(states).toEqual(['online', `closed ${code}`]);
    expect(server.sockets).toHaveLength(1);
    expect(client.room('a').state).toBe('failed');
  });

  it('with 4000 is retried if nothing was answered: the first frame was late', async () => {
    const { server, client, pass } = rig();
    server.answers.set('ping', () => {});
    await pass(100);
    server.socket.evict(4000);
    await pass(1000);
    expect(client.state).toBe('online');
  });

  it('uses the code of `closing`, whatever the close frame has', async () => {
    const { server, states, pass } = rig();
    await pass(100);
    server.socket.say({ type: 'closing', code: 4200, reason: 'as told', retryAfterMs: 9000 });
    server.socket.drop(1006);
    await pass(5);
    expect(states.at(-1)).toBe('waiting 4200');
    await pass(8900);
    expect(server.opened).toHaveLength(1);
    await pass(200);
    expect(server.opened).toHaveLength(2);
  });

  it('times out if the server sends `closing` and nothing else', async () => {
    const { server, states, pass } = rig();
    await pass(100);
    server.socket.say({ type: 'closing', code: 4200, reason: 'as told' });
    await pass(1900);
    expect(states.at(-1)).toBe('online');
    await pass(200);
    expect(states.at(-1)).toBe('waiting 4200');
  });

  it('times out also after the machine slept, and with the late timers of a hidden tab', async () => {
    let skew = 0;
    const { server, states, pass } = rig({}, { now: () => Date.now() + skew });
    await pass(100);
    server.socket.say({ type: 'closing', code: 4200, reason: 'as told' });
    await pass(10);
    skew = 60_000;
    await pass(2000);
    expect(states.at(-1)).toBe('waiting 4200');
  });

  it.each([4100, 4103, 4104, 4105, 4106, 4107, 4199])(
    'with %s makes the next pause longer each time',
    async (code) => {
      const { server, pass } = rig();
      const pauses: number[] = [];
      for (let n = 0; n < 6; n += 1) {
        await pass(100);
        const at = Date.now();
        server.socket.evict(code);
        while (server.opened.length < n + 2) await pass(10);
        pauses.push(Math.round((Date.now() - at) / 100) * 100);
      }
      const least = code === 4100 || code === 4103 || code === 4104 ? 1000 : 500;
      expect(pauses).toEqual([least, 1000, 2000, 4000, 8000, 15_000]);
    },
  );

  it('with 4201 is retried at once, but only once', async () => {
    const { server, pass } = rig();
    await pass(100);
    server.socket.evict(4201);
    await pass(5);
    expect(server.opened).toHaveLength(2);
    await pass(5);
    server.socket.evict(4201);
    await pass(5);
    expect(server.opened).toHaveLength(2);
    await pass(1000);
    expect(server.opened).toHaveLength(3);
  });

  it('with 4013 is final at the third in a row', async () => {
    const { server, client, pass } = rig();
    for (let i = 0; i < 3; i += 1) {
      await pass(5000);
      expect(client.state).toBe('online');
      server.socket.evict(4013);
      await pass(10);
    }
    expect(client.state).toBe('closed');
  });

  it('with 4013 is not final if a connection was stable for ten seconds in between', async () => {
    const { server, client, pass } = rig();
    for (let i = 0; i < 6; i += 1) {
      await pass(i % 2 ? 5000 : 20_000);
      expect(client.state).toBe('online');
      server.socket.evict(4013);
      await pass(10);
    }
    expect(client.state).toBe('waiting');
  });

  it('emits an error only at the fifth attempt in a row without an answer', async () => {
    const { server, errors, pass } = rig();
    for (let i = 0; i < 4; i += 1) {
      await pass(20_000);
      server.isUp = false;
      server.socket.drop();
      const before = server.opened.length;
      while (server.opened.length < before + 4) await pass(100);
      server.isUp = true;
    }
    await pass(20_000);
    expect(errors).toEqual([]);
  });

  it.each([4101, 4102])('with %s starts again with the first pause', async (code) => {
    const { server, pass } = rig();
    for (let i = 0; i < 4; i += 1) {
      await pass(700);
      server.socket.evict(code);
    }
    await pass(700);
    expect(server.opened).toHaveLength(5);
  });

  it('is detected by an error event without a close, and once if both occur', async () => {
    const { server, states, pass } = rig();
    await pass(10);
    const { socket } = server;
    socket.onerror?.({} as never);
    socket.onclose?.({ code: 1006, reason: '' } as never);
    socket.onerror?.({} as never);
    await pass(10);
    expect(states).toEqual(['online', 'waiting 1006']);
  });

  it('is detected by silence: heartbeat, then a ping, then ten seconds', async () => {
    const { server, client, states, pass } = rig();
    await pass(100);
    server.socket.isDead = true;
    await pass(34_800);
    expect(client.state).toBe('online');
    expect(server.socket.sent.map(({ type }) => type)).toEqual(['ping', 'ping']);
    await pass(300);
    expect(states.at(-1)).toBe('waiting pong_timeout');
  });

  it('is not assumed while frames arrive, whatever they contain', async () => {
    const { server, client, pass } = rig();
    await pass(100);
    server.answers.set('ping', () => {});
    for (let i = 0; i < 20; i += 1) {
      server.socket.say({ type: 'broker', state: 'up' });
      await pass(8000);
    }
    expect(client.state).toBe('online');
    expect(server.sockets).toHaveLength(1);
    // No ping was sent either, except at the start.
    expect(server.socket.sent.map(({ type }) => type)).toEqual(['ping']);
  });

  it('is probed, not dropped, by a timer that fires late after the machine slept', async () => {
    let skew = 0;
    const { server, client, states, pass } = rig({}, { now: () => Date.now() + skew });
    await pass(100);
    skew = 3_600_000;
    await pass(25_100);
    expect(client.state).toBe('online');
    server.socket.isDead = true;
    skew *= 2;
    await pass(26_000);
    expect(client.state).toBe('online');
    await pass(3000);
    expect(states).toContain('waiting pong_timeout');
  });

  it('is probed again if the machine slept while it awaited a pong', async () => {
    let skew = 0;
    const { server, states, pass } = rig({}, { now: () => Date.now() + skew });
    await pass(100);
    server.answers.set('ping', () => {});
    await pass(25_000);
    skew = 3_600_000;
    server.answers.clear();
    await pass(30_000);
    expect(states).toEqual(['online']);
  });

  it('is detected even if every timer is late, as in a hidden tab: only the first is excused', async () => {
    // A minute of wall time for each three seconds of a timer.
    const { server, client, states, pass } = rig({}, { now: () => Date.now() * 20 });
    await pass(120_000);
    // The server answers.
    expect([client.state, server.sockets.length]).toEqual(['online', 1]);
    server.socket.isDead = true;
    await pass(30_000);
    expect(states).toContain('waiting pong_timeout');
  });

  it('is not assumed because a clock is set back', async () => {
    let skew = 0;
    const { server, client, pass } = rig({}, { now: () => Date.now() + skew });
    await pass(100);
    skew = -3_600_000;
    await pass(120_000);
    expect([client.state, server.sockets.length]).toEqual(['online', 1]);
  });
});
