/** The measurement of the agents' clocks, with agents whose answers the test controls. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Agents } from '../../../src/load/agent/agents.js';
import { type Channel, keyOf, listenTls } from '../../../src/load/agent/channel.js';
import type { ToAgent } from '../../../src/load/agent/messages.js';
import { machineMicros } from '../../../src/load/clock.js';
import { thisMachine } from '../../../src/load/report/report.js';
import { Signal } from '../../support/signal.js';

const SECRET = 'a secret of these tests';

/** An agent that answers a number of clock requests, and then no more, or ends. */
async function agent(
  answers: number,
  clock: (nth: number) => number = machineMicros,
  end: (channel: Channel) => void = () => {},
) {
  const silent = new Signal();
  let asked = 0;
  const server = listenTls(keyOf(SECRET), (channel) => {
    channel.send({ hello: { version: 'v', machine: thisMachine(), busy: false } });
    channel.onMessage = (message) => {
      const { ping } = message as Extract<ToAgent, { ping: number }>;
      if (ping === undefined) return;
      if (asked++ < answers) channel.send({ pong: ping, at: clock(asked) });
      else {
        end(channel);
        silent.fire();
      }
    };
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const isSilent = () => silent.until(() => asked > answers);
  return { host: '127.0.0.1', port, isSilent };
}

async function connected(...agents: { host: string; port: number }[]): Promise<Agents> {
  const all = await Agents.connect(agents, SECRET, 'v');
  onTestFinished(() => all.close());
  return all;
}

test('an agent that does not answer clock requests is lost by a deadline', async () => {
  const mute = await agent(0);
  const agents = await connected(mute);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const measured = agents.measure('before');
  await mute.isSilent();
  vi.advanceTimersByTime(5000);
  await expect(measured).resolves.toBe(
    `agent 127.0.0.1:${mute.port} was lost: it did not answer a clock request within 5 s`,
  );
});

test('an agent lost during a measurement leaves no timer', async () => {
  const lost = await agent(3, machineMicros, (channel) => channel.close());
  const agents = await connected(lost);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  await expect(agents.measure('before')).resolves.toMatch(/was lost: the connection ended$/);
  // The timer that destroys the agent's socket.
  vi.advanceTimersByTime(1000);
  expect(vi.getTimerCount()).toBe(0);
});

test('the answers made by the deadline are used', async () => {
  const slow = await agent(3);
  const agents = await connected(slow);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const measured = agents.measure('before');
  await slow.isSilent();
  vi.advanceTimersByTime(5000);
  await expect(measured).resolves.toBeNull();
});

test('a time between two agents is wrong by at most the sum of their errors; one agent has one clock', async () => {
  // After the first measurement the clocks jump, by 30 ms and by 50.
  const jumping = (ms: number) => (nth: number) => machineMicros() + (nth > 24 ? ms * 1000 : 0);
  const one = await connected(await agent(1000, jumping(30)));
  await one.measure('before');
  await one.measure('after');
  expect(one.clockError()).toBeNull();
  const two = await connected(await agent(1000, jumping(30)), await agent(1000, jumping(50)));
  await two.measure('before');
  await two.measure('after');
  expect(two.clockError()).toBeGreaterThanOrEqual(79_000);
  // The error is of the latest run, not of all.
  await two.measure('before');
  await two.measure('after');
  expect(two.clockError()).toBeLessThan(79_000);
});
