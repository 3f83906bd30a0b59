/** A client of the scripted server, closed after the test, with its events recorded as short texts. */
import { onTestFinished, vi } from 'vitest';
import { healing } from '../../client/src/backfill.js';
import { type Client, connect, type Options, type Room } from '../../client/src/index.js';
import { ScriptedServer } from './scripted-server.js';

export const URL = 'ws://server/ws';

/** Records the events of a room as texts: `1`, `gap 2-4 overflow`, `joined first`. */
export function record(room: Room<unknown>): string[] {
  const told: string[] = [];
  room.on('message', ({ data }) => told.push(String(data)));
  room.on('gap', ({ from, to, reason }) => told.push(`gap ${from}-${to} ${reason}`));
  room.on('joined', ({ recovery, missed, recovered }) =>
    told.push(recovery === 'first' ? 'joined' : `${recovery} ${missed} ${recovered}`),
  );
  room.on('left', ({ reason }) => told.push(`left: ${reason}`));
  return told;
}

export function rig(
  serverOptions: ConstructorParameters<typeof ScriptedServer>[0] = {},
  options: Options = {},
) {
  vi.useFakeTimers({ now: 1_000_000 });
  const server = new ScriptedServer(serverOptions);
  const states: string[] = [];
  const errors: string[] = [];
  const client: Client = connect(URL, {
    WebSocket: server.open,
    random: () => 0.5,
    lifecycle: false,
    healing,
    ...options,
  });
  client.on('state', ({ state, reason }) =>
    states.push(reason ? `${state} ${reason.code}` : state),
  );
  client.on('error', ({ code }) => errors.push(code));
  onTestFinished(async () => {
    await client.close();
    vi.useRealTimers();
  });
  return { server, client, states, errors, pass: (ms: number) => vi.advanceTimersByTimeAsync(ms) };
}
