/**
 * The protocols in examples/load, each against a server that speaks it, through the CLI. graphql-ws is a
 * real server. The others are stand-ins; the protocol's own client is run against them first, to show
 * that they are faithful as far as the examples need.
 */
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { promisify } from 'node:util';
import { Centrifuge } from 'centrifuge';
import { Socket } from 'phoenix';
import pusher from 'pusher-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { protocolFile } from '../../src/load/targets/protocol-file.js';
import { targetContract } from '../contract/target.js';
import { targetSpec } from '../support/load-fakes.js';
import { startCentrifugo } from '../support/peers/centrifugo.js';
import { startGraphql } from '../support/peers/graphql.js';
import { startPhoenix } from '../support/peers/phoenix.js';
import { startPusher } from '../support/peers/pusher.js';
import type { Peer } from '../support/peers/rooms.js';

// The types declare the class as a property, which does not exist in Node.
const Pusher = pusher as unknown as typeof pusher.default;
type Pusher = InstanceType<typeof Pusher>;

const ROOT = new URL('../..', import.meta.url).pathname;
const run = promisify(execFile);
const sign = (secret: string, text: string): string =>
  createHmac('sha256', secret).update(text).digest('hex');

interface Example {
  readonly start: () => Promise<Peer>;
  /** Prefix of room names that the server requires. */
  readonly prefix: string;
  /** Whether publishers receive their own messages. */
  readonly ownCopies: boolean;
}

const EXAMPLES: Record<string, Example> = {
  centrifugo: { start: startCentrifugo, prefix: 'load:', ownCopies: true },
  phoenix: { start: startPhoenix, prefix: 'room:', ownCopies: true },
  'graphql-ws': { start: startGraphql, prefix: 'load:', ownCopies: true },
  pusher: { start: startPusher, prefix: 'load:', ownCopies: false },
};

for (const [name, { start, prefix, ownCopies }] of Object.entries(EXAMPLES)) {
  const file = `${ROOT}examples/load/${name}.mjs`;

  targetContract(name, async () => {
    const { url, kick } = await start();
    const protocol = await protocolFile(file);
    const spec = targetSpec(name, url, { protocol });
    return { spec, kick, prefix, ownCopies, answersJoins: true };
  });

  test(`roomcast load --protocol ${name}.mjs`, async () => {
    const { url } = await start();
    const args = [
      url,
      '--protocol',
      file,
      '--room-prefix',
      prefix,
      '--members',
      '12',
      '--rooms',
      '3',
    ];
    const quick = [
      '--workers',
      '2',
      '--rate',
      '90/s',
      '--ramp-up',
      '0',
      '--warmup',
      '0',
      '--calm',
      '1s',
    ];
    const { stdout } = await run(
      process.execPath,
      ['dist/cli/main.js', 'load', ...args, ...quick],
      {
        cwd: ROOT,
      },
    ).catch((error: { stdout: string }) => error);
    expect(stdout).toContain(`${name} over websocket`);
    expect(stdout).toMatch(/ok\s+order/);
    expect(stdout).toMatch(/ok\s+accounting/);
  });
}

describe('the stand-ins work with the real clients', () => {
  test('Centrifugo', async () => {
    const { url } = await startCentrifugo();
    const client = new Centrifuge(`${url}/connection/websocket`, { websocket: WebSocket });
    onTestFinished(() => client.disconnect());
    const subscription = client.newSubscription('load:a');
    const heard = new Promise((resolve) => {
      subscription.on('publication', ({ data }) => resolve(data));
    });
    subscription.subscribe();
    client.connect();
    await subscription.ready(10_000);
    await client.publish('load:a', 'hello');
    expect(await heard).toBe('hello');
    subscription.unsubscribe();
    await expect(client.publish('load:a', 'no')).rejects.toMatchObject({ code: 103 });
  });

  test('Phoenix', async () => {
    const { url } = await startPhoenix();
    const socket = new Socket(`${url}/socket`, { transport: WebSocket, vsn: '2.0.0' });
    onTestFinished(() => socket.disconnect());
    socket.connect();
    const channel = socket.channel('room:a');
    const heard = new Promise((resolve) => channel.on('publish', resolve));
    await new Promise((resolve) => channel.join().receive('ok', resolve));
    channel.push('publish', { data: 'hello' });
    expect(await heard).toEqual({ data: 'hello' });
    await new Promise((resolve) => channel.leave().receive('ok', resolve));
    const refused = new Promise((resolve) =>
      socket.channel('other:a').join().receive('error', resolve),
    );
    expect(await refused).toEqual({ reason: 'unmatched topic' });
  });

  test('Pusher', async () => {
    const { port } = await startPusher();
    const connect = (secret: string): Pusher => {
      const client = new Pusher('app-key', {
        cluster: '',
        wsHost: '127.0.0.1',
        wsPort: port,
        forceTLS: false,
        enabledTransports: ['ws'],
        channelAuthorization: {
          transport: 'ajax',
          endpoint: '',
          customHandler: ({ socketId, channelName }, callback) =>
            callback(null, { auth: `app-key:${sign(secret, `${socketId}:${channelName}`)}` }),
        },
      });
      onTestFinished(() => client.disconnect());
      return client;
    };
    const subscribe = (client: Pusher) => {
      const channel = client.subscribe('private-a');
      const outcome = new Promise<string>((resolve) => {
        channel.bind('pusher:subscription_succeeded', () => resolve('succeeded'));
        channel.bind('pusher:subscription_error', () => resolve('refused'));
      });
      return { channel, outcome };
    };
    const [sender, reader] = [subscribe(connect('app-secret')), subscribe(connect('app-secret'))];
    expect(await sender.outcome).toBe('succeeded');
    expect(await reader.outcome).toBe('succeeded');
    const heard = new Promise((resolve) => reader.channel.bind('client-message', resolve));
    sender.channel.trigger('client-message', 'hello');
    expect(await heard).toBe('hello');
    expect(await subscribe(connect('another secret')).outcome).toBe('refused');
  });
});

test('the examples match the types that the package exports', async () => {
  const files = Object.keys(EXAMPLES).map((name) => `examples/load/${name}.mjs`);
  const options = ['--noEmit', '--allowJs', '--checkJs', '--strict', '--types', 'node'];
  const module = ['--module', 'nodenext', '--target', 'es2023', '--skipLibCheck'];
  const tsc = ['node_modules/typescript/bin/tsc', ...options, ...module, ...files];
  const { stdout } = await run(process.execPath, tsc, { cwd: ROOT }).catch(
    (error: { stdout: string }) => error,
  );
  expect(stdout).toBe('');
});
