/**
 * Restarts two servers behind HAProxy with the shipped configuration, one after the other, while members
 * and requests come and go: no connection ends without a close frame, and no request fails.
 */
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { TRANSPORTS, type TransportName } from '../../src/transport/transport.js';
import { freePort } from '../support/free-port.js';
import { has } from '../support/installed.js';
import { type Process, run } from '../support/process.js';
import { startProxy } from '../support/proxies.js';
import { connectReading } from '../support/reading-peer.js';
import { Signal } from '../support/signal.js';

const MEMBERS_OF_EACH = 4;
const REQUESTS_AT_A_TIME = 4;
/** Pause between two requests of a client, and between two polls. */
const PAUSE_MS = 20;

interface Ports {
  readonly port: number;
  readonly internalPort: number;
}

interface Server extends Ports {
  process: Process;
}

async function start({ port, internalPort }: Ports): Promise<Process> {
  const flags = ['--lame-duck-ms', '1000', '--drain-ms', '500', '--trust-proxy', '127.0.0.1'];
  const ports = ['--port', String(port), '--internal-port', String(internalPort)];
  const server = run(['serve', ...ports, ...flags]);
  await server.line('serving');
  return server;
}

test.skipIf(!has('haproxy'))(
  'a rolling restart behind HAProxy under load: no failed request, no connection lost',
  async () => {
    const servers: Server[] = [];
    for (let n = 0; n < 2; n += 1) {
      const ports = { port: await freePort(), internalPort: await freePort() };
      servers.push({ ...ports, process: await start(ports) });
    }
    const url = await startProxy('haproxy', 'ours', {
      servers: servers.map(({ port }) => `127.0.0.1:${port}`),
    });

    let isOver = false;
    onTestFinished(() => {
      isOver = true;
    });
    const changed = new Signal();
    const closes: [TransportName, number][] = [];
    const present = new Set<object>();
    /** Stays connected and reconnects when told to, like a client. */
    const stay = async (transport: TransportName) => {
      while (!isOver) {
        const peer = await connectReading(transport, url);
        peer.say({ type: 'join', id: 1, room: 'news' });
        await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
        present.add(peer);
        changed.fire();
        const code = await peer.closed;
        if (isOver) return;
        present.delete(peer);
        closes.push([transport, code]);
        const told = peer.events.findLast(({ type }) => type === 'closing');
        const wait = told?.type === 'closing' ? told.retryAfterMs : 0;
        await pause(wait ?? 0);
      }
    };
    const statuses = new Map<number, number>();
    const ask = async (path: string) => {
      while (!isOver) {
        const { status } = await fetch(url + path);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        await pause(PAUSE_MS);
      }
    };
    const count = TRANSPORTS.length * MEMBERS_OF_EACH;
    const load = Promise.all([
      ...TRANSPORTS.flatMap((each) => Array.from({ length: MEMBERS_OF_EACH }, () => stay(each))),
      ...Array.from({ length: REQUESTS_AT_A_TIME }, (_, i) =>
        ask(i % 2 === 0 ? '/sockjs/info' : '/healthz'),
      ),
    ]);
    const failed = load.then(() => Promise.reject(new Error('The load has ended.')));
    const everybody = () => changed.until(() => present.size === count);

    await Promise.race([everybody(), failed]);
    const first = servers.map(({ process }) => process);
    for (const server of servers) {
      server.process.child.kill('SIGTERM');
      expect(await Promise.race([server.process.exited, failed])).toBe(0);
      const closed = server.process.log.find(({ msg }) => msg === 'closed');
      expect(closed).toMatchObject({ abandoned: 0, unconfirmed: 0 });
      server.process = await start(server);
      await Promise.race([everybody(), failed]);
      // Until HAProxy considers it ready, only the other server is used. Afterwards it has the fewest
      // members.
      for (let isBack = false; !isBack; ) {
        const late = new WebSocket(`${url.replace('http', 'ws')}/ws`);
        await once(late, 'message');
        isBack = (await membersOf(server)) > 0;
        late.terminate();
        await pause(PAUSE_MS);
      }
    }
    isOver = true;
    failed.catch(() => {});
    const drained = first.map(({ log }) => log.find(({ msg }) => msg === 'closed')?.['drained']);
    expect(drained.every((members) => Number(members) > 0)).toBe(true);
    expect(closes.filter(([, code]) => code !== 4200)).toEqual([]);
    expect(closes.length).toBeGreaterThanOrEqual(count);
    expect([...statuses.keys()]).toEqual([200]);
    console.info(`${closes.length} members were moved, ${statuses.get(200)} requests answered.`);
  },
  180_000,
);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function membersOf({ internalPort }: Ports): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${internalPort}/v1/members?limit=1`);
  return ((await answer.json()) as { total: number }).total;
}
