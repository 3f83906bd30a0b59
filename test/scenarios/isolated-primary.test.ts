/**
 * A Redis primary is isolated by the network with one node and one of three Sentinels. The others get
 * another primary and go on; the isolated node goes on in its own numbering and gets a reset when it is
 * back. The account of each side is consistent (V20, V21).
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { describe, expect, onTestFinished, test } from 'vitest';
import { audit, type Published } from '../support/accounting.js';
import { endWithUs } from '../support/children.js';
import { freePort } from '../support/free-port.js';
import { LoggingMember } from '../support/logging-member.js';
import { NetworkNamespace, whyNoNamespaces } from '../support/network-namespace.js';
import { run } from '../support/process.js';
import { hasRedis } from '../support/redis-server.js';

const NAME = 'rooms';
const ROOM = 'chat:lobby';
const KEY = 'a-key-of-this-test';
const OPEN = ['--bind', '0.0.0.0', '--protected-mode', 'no', '--save', ''];
const LATER = { timeout: 60_000, interval: 100 };

/** `redis-server`, in a namespace or here. */
function redis(by: readonly string[], ...args: readonly string[]): void {
  const [program, ...rest] = [...by, 'redis-server', ...args];
  const child = spawn(program as string, rest, { stdio: 'ignore' });
  endWithUs(child);
  onTestFinished(() => void child.kill('SIGKILL'));
}

/** The answer of a Redis or a Sentinel; null if there is none. */
async function ask(address: string, ...command: string[]): Promise<unknown> {
  const client = createClient({
    url: `redis://${address}`,
    RESP: 2,
    socket: { reconnectStrategy: false, connectTimeout: 2000 },
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return await client.sendCommand(command);
  } catch {
    return null;
  } finally {
    if (client.isOpen) client.destroy();
  }
}

const toldOf = ({ logs }: LoggingMember) => logs.flatMap(({ told }) => told);
const has = (member: LoggingMember, payload: string) =>
  toldOf(member).some((each) => each.type === 'message' && each.payload === payload);
const resets = (member: LoggingMember) =>
  toldOf(member).flatMap((each) => (each.type === 'reset' ? [each] : []));

describe.skipIf(!hasRedis || whyNoNamespaces !== null)('an isolated primary', () => {
  test('serves the node isolated with it; the others have another primary', {
    timeout: 240_000,
  }, async () => {
    const network = new NetworkNamespace();
    onTestFinished(() => network.close());
    const folder = mkdtempSync(join(tmpdir(), 'roomcast-isolated-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const [here, there] = [network.redisAddress, network.backAddress];
    const port = await freePort();
    const primary = `${there}:${port}`;
    const replicaPort = await freePort();
    redis(network.by, '--port', String(port), '--dir', folder, ...OPEN);
    redis(
      [],
      '--port',
      String(replicaPort),
      '--dir',
      folder,
      ...OPEN,
      '--replicaof',
      there,
      String(port),
    );
    const sentinels: string[] = [];
    for (const [by, address] of [
      [network.by, there],
      [[], here],
      [[], here],
    ] as const) {
      const own = await freePort();
      const file = join(folder, `${own}.conf`);
      const lines = [
        `port ${own}`,
        'bind 0.0.0.0',
        'protected-mode no',
        `dir ${folder}`,
        `sentinel monitor ${NAME} ${there} ${port} 2`,
        `sentinel down-after-milliseconds ${NAME} 1000`,
        `sentinel failover-timeout ${NAME} 3000`,
      ];
      writeFileSync(file, `${lines.join('\n')}\n`);
      redis(by, file, '--sentinel');
      sentinels.push(`${address}:${own}`);
    }
    const count = async (address: string, what: string) =>
      ((await ask(address, 'SENTINEL', what, NAME)) as unknown[] | null)?.length ?? 0;
    for (const address of sentinels) {
      const known = async () => [
        await count(address, 'REPLICAS'),
        await count(address, 'SENTINELS'),
      ];
      await expect.poll(known, LATER).toEqual([1, 2]);
    }
    const replicaIs = async () =>
      String(await ask(`${here}:${replicaPort}`, 'INFO', 'replication'));
    await expect.poll(replicaIs, LATER).toContain('master_link_status:up');

    const node = async (by: string[], host: string) => {
      const url = `redis+sentinel://${sentinels.join(',')}/${NAME}`;
      const flags = ['--host', host, '--port', '0', '--api-key', KEY, '--broker-tick-ms', '300'];
      const server = run(['serve', '--broker', 'redis', '--redis-url', url, ...flags], { by });
      return String((await server.line('serving'))['url']);
    };
    const urls = {
      cutOff: await node(network.by, network.address),
      other: await node([], '127.0.0.1'),
    };
    const published: Published[] = [];
    const publish = async (url: string): Promise<Published> => {
      const index = published.length;
      const payload = JSON.stringify(`p${index}`);
      const sentAt = performance.now();
      const entry = { room: ROOM, payload, sentAt, deadline: sentAt + 5000 };
      published[index] = { ...entry, answer: 'pending' };
      const response = await fetch(`${url}/v1/rooms/${ROOM}/messages`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}` },
        body: `{"data":${payload}}`,
      });
      const answer = (await response.json()) as { code?: string; epoch: string; seq: number };
      const other = answer.code === 'broker_uncertain' ? 'uncertain' : 'refused';
      const noted: Published = { ...entry, answer: response.ok ? answer : other };
      published[index] = noted;
      return noted;
    };
    const accepted = async (url: string): Promise<Published> => {
      for (;;) {
        const each = await publish(url);
        if (typeof each.answer === 'object') return each;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    const member = async (url: string, name: string) => {
      const made = new LoggingMember(url, name, [ROOM]);
      onTestFinished(() => made.close());
      await made.joined();
      return made;
    };
    const [a, b] = [await member(urls.cutOff, 'cut off'), await member(urls.other, 'other')];
    for (let n = 0; n < 10; n += 1) await accepted(n % 2 === 0 ? urls.cutOff : urls.other);
    const before = published.at(-1)?.payload as string;
    for (const each of [a, b]) await each.until(() => has(each, before));

    network.cut('up');
    network.cut('down');
    await b.until(() => resets(b).length > 0);
    // Two primaries at once: each side receives what it publishes.
    for (let n = 0; n < 5; n += 1) {
      const [mine, theirs] = [await accepted(urls.cutOff), await accepted(urls.other)];
      await a.until(() => has(a, mine.payload));
      await b.until(() => has(b, theirs.payload));
      expect([has(a, theirs.payload), has(b, mine.payload)]).toEqual([false, false]);
    }
    // The isolated node notices nothing: its primary answers it.
    expect([resets(a), a.notices]).toEqual([[], []]);

    network.heal();
    await a.until(() => resets(a).length > 0);
    await expect.poll(async () => String(await ask(primary, 'ROLE')), LATER).toContain('slave');
    const last = [await accepted(urls.cutOff), await accepted(urls.other)];
    for (const each of [a, b]) {
      await each.until(() => last.every(({ payload }) => has(each, payload)));
    }
    // It received messages that did not survive, and gets a reset; the other has lost nothing.
    expect(resets(a).map(({ was }) => was.seq)).toEqual([15]);
    expect(resets(b).map(({ position, was }) => [position.seq, was.seq])).toEqual([[10, 10]]);
    expect(audit(published, [...a.logs, ...b.logs])).toEqual([]);
  });
});
