/** Runs the code blocks of `client/README.md` and `client/LOSS.md` as printed. */
import { readFileSync } from 'node:fs';
import { expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import * as backfill from '../../client/src/backfill.js';
import * as events from '../../client/src/events.js';
import { type Client, connect } from '../../client/src/index.js';
import * as presence from '../../client/src/presence.js';
import { serve } from '../support/server.js';
import { SECRET, tokenOf } from '../support/tokens.js';

const WAIT = { timeout: 30_000, interval: 5 };
const ours = { connect, ...backfill, ...events, ...presence };
const clients: Client[] = [];

/** Runs the block that contains `words`, with variables of the surrounding app. */
function run(page: string, words: string, about: Record<string, unknown>): Promise<unknown> {
  const text = readFileSync(new URL(`../../client/${page}`, import.meta.url), 'utf8');
  const blocks = Array.from(text.matchAll(/^```js\n(.*?)^```$/gms), ([, code]) => String(code));
  const code = blocks.find((block) => block.includes(words));
  const AsyncFunction = (async () => {}).constructor as new (
    ...parts: string[]
  ) => (...values: unknown[]) => Promise<unknown>;
  const all = { ...ours, ...about };
  const names = Object.keys(all);
  const body = String(code).replaceAll(/^import .*\n/gm, '');
  return new AsyncFunction(...names, body)(...Object.values(all));
}

async function rig(options: Parameters<typeof serve>[0] = {}) {
  // As in a browser, even on a Node version without WebSocket.
  vi.stubGlobal('WebSocket', WebSocket);
  onTestFinished(() => void vi.unstubAllGlobals());
  const server = await serve(options);
  const url = `${server.url.replace('http', 'ws')}/ws`;
  const open: typeof connect = (...args) => {
    const client = connect(...args);
    clients.push(client);
    return client as never;
  };
  onTestFinished(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
  });
  const isIn = (room: string) =>
    vi.waitFor(() => expect(server.rooms().map((each) => each.room)).toContain(room), WAIT);
  return { server, url, isIn, connect: open };
}

it('a WebSocket for Node 20', async () => {
  const { url, server, connect } = await rig();
  await run('README.md', 'new WebSocket(url)', { url, connect, WebSocket });
  await vi.waitFor(() => expect(server.members()).toHaveLength(1), WAIT);
});

it('a state that is loaded', async () => {
  const { url, server, connect } = await rig();
  const shown: unknown[] = [];
  const { epoch, seq } = await server.publish('board', 1);
  const fetch = async () => ({ json: async () => ({ position: { epoch, seq }, state: 'one' }) });
  const show = (state: unknown) => shown.push(state);
  await run('README.md', 'async load(', { url, connect, fetch, show });
  await vi.waitFor(() => expect(shown).toEqual(['one']), WAIT);
});

it('a loop', async () => {
  const { url, server, isIn, connect } = await rig();
  const done: unknown[] = [];
  const work = async (data: unknown) => done.push(data);
  const loop = run('README.md', 'for await', { client: connect(url), work });
  await isIn('jobs');
  await server.publish('jobs', 'a job');
  await vi.waitFor(() => expect(done).toEqual(['a job']), WAIT);
  await clients[0]?.close();
  await loop;
});

it('presence', async () => {
  const said = vi.spyOn(console, 'log').mockImplementation(() => {});
  onTestFinished(() => said.mockRestore());
  const { url, connect } = await rig({
    presence: 'users',
    tokenSecret: [SECRET],
    tokenAudience: ['us'],
  });
  const getToken = () => tokenOf({ sub: 'ann', aud: 'us', rooms: { '*': ['join', 'presence'] } });
  await run('README.md', 'presence(room)', { client: connect(url, { getToken }) });
  await vi.waitFor(() => expect(said).toHaveBeenCalledWith('ann'), WAIT);
});

it('the three events of LOSS.md', async () => {
  const { url, server, isIn, connect } = await rig();
  const told: unknown[] = [];
  const client = connect(url);
  const room = client.room('a');
  const words = {
    showState: (state: string) => told.push(state),
    showLoss: (_: number, reason: string) => told.push(reason),
    keepDraft: (text: string, code: string) => told.push(`${text}: ${code}`),
  };
  await run('LOSS.md', 'keepDraft', { client, room, text: 'mine', ...words });
  await vi.waitFor(() => expect(told).toContain('mine: not_joined'), WAIT);
  void room.join();
  await isIn('a');
  server.kick(client.member as string, 'internal_error');
  await vi.waitFor(() => expect(told).toContain('waiting'), WAIT);
});
