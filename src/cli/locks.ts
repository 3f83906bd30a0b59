/**
 * `roomcast locks`: prints the locks that a running server holds and waits for, and the findings of its
 * lock detector.
 */
import { Command } from 'commander';
import { ConfigError } from '../errors.js';
import type { LocksOfAll } from '../http/locks.js';
import { CommandError } from './failure.js';

const DEFAULT_URL = 'http://127.0.0.1:8080';
/** Time limit for the server's answer, in milliseconds. */
const TIMEOUT_MS = 5000;

export function locksCommand(): Command {
  return new Command('locks')
    .description('Print the locks that a running server holds and waits for.')
    .argument('[url]', 'URL of the server', DEFAULT_URL)
    .option('--api-key <key>', 'API key; default: ROOMCAST_API_KEY in the environment', firstKey())
    .action(async (url: string, { apiKey }: { apiKey?: string }) => {
      process.stdout.write(describeLocks(await fetchLocks(url, apiKey)));
    });
}

const firstKey = (): string | undefined => process.env['ROOMCAST_API_KEY']?.split(',')[0];

async function fetchLocks(url: string, apiKey: string | undefined): Promise<LocksOfAll> {
  if (!URL.canParse('/v1/locks', url)) {
    throw new ConfigError(
      `url ${JSON.stringify(url)} is not allowed: give one like ${DEFAULT_URL}`,
    );
  }
  const headers: Record<string, string> = apiKey ? { authorization: `Bearer ${apiKey}` } : {};
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(new URL('/v1/locks', url), { headers, signal }).catch(
    (error: Error) => {
      const { cause } = error as { cause?: Error };
      throw new CommandError(`${url} does not answer: ${cause?.message ?? error.message}`);
    },
  );
  const body: unknown = await response.json();
  if (response.ok) return body as LocksOfAll;
  const { message } = body as { message?: string };
  throw new CommandError(`${url} answered ${response.status}: ${message ?? 'no reason given'}`);
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(3)} s`;

const at = (worker: number | undefined): string =>
  worker === undefined ? '' : ` in worker ${worker}`;

export function describeLocks({ mode, held, pending, edges, reports }: LocksOfAll): string {
  const lines = [`detector: ${mode}`, ''];
  lines.push(`held: ${held.length}`);
  for (const { lock, mode, site, task, ageMs, worker } of held) {
    const by = `${task ?? site}${at(worker)}`;
    lines.push(`  ${lock} (${mode}) by ${by} for ${seconds(ageMs)}, taken at ${site}`);
  }
  lines.push(`waits: ${pending.length}`);
  for (const { on, mode, site, task, ageMs, timeoutMs, worker } of pending) {
    const until = timeoutMs === null ? '' : `, at most ${seconds(timeoutMs)}`;
    const how = mode === null ? '' : ` (${mode})`;
    lines.push(
      `  ${task ?? site}${at(worker)} waits for ${on}${how} for ${seconds(ageMs)}${until}`,
    );
  }
  lines.push(`edges: ${edges.length}`);
  for (const { from, to, worker } of edges) lines.push(`  ${from} -> ${to}${at(worker)}`);
  lines.push(`reports: ${reports.length}`, '');
  for (const { text, worker } of reports) {
    lines.push(worker === undefined ? text : `in worker ${worker}: ${text}`, '');
  }
  return `${lines.join('\n')}\n`;
}
