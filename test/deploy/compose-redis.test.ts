/**
 * Runs `deploy/compose.redis.yaml` without containers: starts its Redis and nodes with the arguments and
 * variables in the file, and sends a message from one node to a member of the other.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { defaults } from '../../src/options/config.js';
import { endWithUs } from '../support/children.js';
import { freePort } from '../support/free-port.js';
import { run } from '../support/process.js';
import { connectReading } from '../support/reading-peer.js';
import { hasRedis } from '../support/redis-server.js';

interface Service {
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly depends_on?: object;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_grace_period?: string;
}

const file = new URL('../../deploy/compose.redis.yaml', import.meta.url);
const { services } = parse(readFileSync(file, 'utf8'), { merge: true }) as {
  services: Readonly<Record<string, Service>>;
};
const nodes = Object.entries(services).filter(([, { environment }]) => environment !== undefined);

test('has two nodes on separate ports, which wait for Redis and have time to shut down', () => {
  expect(nodes.map(([name]) => name)).toEqual(['node-a', 'node-b']);
  const ports = nodes.flatMap(([, { ports = [] }]) => ports.map((port) => port.split(':')[1]));
  expect(new Set(ports).size).toBe(4);
  for (const [, node] of nodes) {
    expect(node.depends_on).toEqual({ redis: { condition: 'service_healthy' } });
    expect(Number.parseInt(node.stop_grace_period ?? '', 10) * 1000).toBeGreaterThan(
      defaults.shutdownGraceMs,
    );
  }
  expect(services['redis']?.healthcheck?.test).toEqual(['CMD', 'redis-cli', 'ping']);
});

describe.skipIf(!hasRedis)('run by hand', () => {
  test('a message goes from one node to the other, and startup logs no advice', async () => {
    const { command = [] } = services['redis'] ?? {};
    const [program = '', ...args] = command;
    const folder = mkdtempSync(join(tmpdir(), 'roomcast-compose-'));
    const port = await freePort();
    const child = spawn(program, [...args, '--port', `${port}`, '--dir', folder]);
    endWithUs(child);
    onTestFinished(() => {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true });
    });
    const client = createClient({ url: `redis://127.0.0.1:${port}` });
    client.on('error', () => {});
    await client.connect();
    // Like the health check in the file.
    expect(await client.ping()).toBe('PONG');
    client.destroy();

    const servers = await Promise.all(
      nodes.map(async ([, { environment = {} }]) => {
        // Variables for the compose network and the API key.
        const key = { ROOMCAST_API_KEY: 'demo', ROOMCAST_REDIS_URL: `redis://127.0.0.1:${port}` };
        const env = { ...environment, ...key };
        expect(environment['ROOMCAST_REDIS_URL']).toBe('redis://redis');
        const server = run(['serve', '--port', '0'], { env });
        return { server, url: String((await server.line('serving'))['url']) };
      }),
    );
    const [a, b] = servers as [(typeof servers)[0], (typeof servers)[0]];
    const peer = await connectReading('websocket', a.url);
    peer.say({ type: 'join', id: 1, room: 'chat:lobby' });
    await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
    const published = await fetch(`${b.url}/v1/rooms/chat:lobby/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer demo' },
      body: '{"data":"over Redis"}',
    });
    expect(await published.json()).toMatchObject({ seq: 1 });
    await peer.until(() => peer.events.some((event) => 'data' in event));
    expect(peer.events.find((event) => 'data' in event)).toMatchObject({ data: 'over Redis' });
    for (const { server } of servers) {
      expect(server.log.map(({ msg }) => msg)).toContain('Redis is connected');
      expect(server.log.filter(({ msg }) => /^Redis has/.test(String(msg)))).toEqual([]);
    }
  });
});
