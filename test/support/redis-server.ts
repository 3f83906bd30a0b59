/** A Redis server from Debian's package for one test, which can stop, kill and query it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { endWithUs } from './children.js';
import { freePort } from './free-port.js';

/** Whether Redis is installed; with CI=true it must be. */
export const hasRedis = (() => {
  try {
    execFileSync('redis-server', ['--version']);
    return true;
  } catch (error) {
    if (process.env['CI'] === 'true') throw error;
    console.warn('The tests of Redis are skipped: apt-get install redis-server.');
    return false;
  }
})();

/**
 * Options of a Redis that keeps its data when it is killed: it writes before it answers. Only a crash of
 * the machine would need an fsync, which may take longer than a heartbeat.
 */
export const KEEPS_DATA = ['--appendonly', 'yes', '--appendfsync', 'no'] as const;

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** Sends a command and resolves with its answer. */
  ask(...command: string[]): Promise<unknown>;
  signal(signal: NodeJS.Signals): void;
  /** Kills it, as a crash does, and resolves once it has ended. */
  kill(): Promise<void>;
  /** Restarts it on its port, with its saved data, and these options besides its own. */
  start(...more: string[]): Promise<void>;
  /** Deletes its saved data. */
  forget(): void;
  close(): Promise<void>;
}

export async function startRedis(...options: string[]): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'roomcast-redis-'));
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  let child: ChildProcess | null = null;

  const start = async (...more: string[]) => {
    const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
    const now = ['--save', '', '--repl-diskless-sync-delay', '0'];
    child = spawn('redis-server', [...settings, ...now, ...options, ...more], { stdio: 'pipe' });
    endWithUs(child);
    let output = '';
    await new Promise<void>((resolve, reject) => {
      child?.stdout?.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        if (output.includes('Ready to accept connections')) resolve();
      });
      child?.once('exit', () => reject(new Error(`redis-server ended: ${output}`)));
    });
  };
  const kill = async () => {
    if (child === null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    child = null;
  };
  await start();
  return {
    port,
    url,
    async ask(...command) {
      const client = createClient({ url, RESP: 2, socket: { reconnectStrategy: false } });
      client.on('error', () => {
        // The command reports the error to its caller.
      });
      await client.connect();
      try {
        return await client.sendCommand(command);
      } finally {
        client.destroy();
      }
    },
    signal(signal) {
      child?.kill(signal);
    },
    kill,
    start,
    forget() {
      for (const file of readdirSync(folder)) rmSync(join(folder, file), { recursive: true });
    },
    async close() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
