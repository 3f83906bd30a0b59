/** A primary, a replica and the Sentinels that watch them, all for one test, on free ports. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.js';
import { type RedisServer, startRedis } from './redis-server.js';

const NAME = 'rooms';

export class Watched {
  readonly url: string;
  readonly #sentinels: readonly ChildProcess[];
  readonly #folder: string;

  private constructor(
    readonly primary: RedisServer,
    readonly replica: RedisServer,
    sentinels: readonly ChildProcess[],
    ports: readonly number[],
    folder: string,
  ) {
    this.#sentinels = sentinels;
    this.#folder = folder;
    this.url = `redis+sentinel://${ports.map((port) => `127.0.0.1:${port}`).join(',')}/${NAME}`;
  }

  /** Resolves once each Sentinel knows the replica and the other Sentinels. */
  static async start(count = 3): Promise<Watched> {
    const primary = await startRedis();
    const replica = await startRedis('--replicaof', '127.0.0.1', String(primary.port));
    const folder = mkdtempSync(join(tmpdir(), 'roomcast-sentinels-'));
    const ports: number[] = [];
    const sentinels: ChildProcess[] = [];
    for (let n = 0; n < count; n += 1) {
      const port = await freePort();
      const file = join(folder, `${n}.conf`);
      const lines = [
        `port ${port}`,
        'bind 127.0.0.1',
        `dir ${folder}`,
        `sentinel monitor ${NAME} 127.0.0.1 ${primary.port} ${Math.floor(count / 2) + 1}`,
        // Longer than a busy machine lets a primary wait for a CPU.
        `sentinel down-after-milliseconds ${NAME} 2000`,
        `sentinel failover-timeout ${NAME} 3000`,
      ];
      writeFileSync(file, `${lines.join('\n')}\n`);
      const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'pipe' });
      let said = '';
      const knows = new Promise<void>((resolve, reject) => {
        child.stdout.on('data', (chunk: Buffer) => {
          said += chunk.toString();
          const others = said.match(/\+sentinel sentinel/g)?.length ?? 0;
          if (others >= count - 1 && said.includes('+slave slave')) resolve();
        });
        child.once('exit', () => reject(new Error(`a Sentinel ended: ${said}`)));
      });
      knows.catch(() => {});
      ports.push(port);
      sentinels.push(Object.assign(child, { knows }));
    }
    await Promise.all(
      sentinels.map((child) => (child as ChildProcess & { knows: Promise<void> }).knows),
    );
    return new Watched(primary, replica, sentinels, ports, folder);
  }

  async close(): Promise<void> {
    for (const child of this.#sentinels) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await this.primary.close();
    await this.replica.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A fake Sentinel: it names the primary that the test sets. */
export class NamedBy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;

  private constructor(public names: number | null) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      // On one machine each command arrives whole; only the query needs an answer of its own.
      socket.on('data', (chunk: Buffer) => {
        if (!chunk.toString().includes('GET-MASTER-ADDR-BY-NAME')) socket.write('+OK\r\n');
        else if (this.names === null) socket.write('*-1\r\n');
        else {
          const port = String(this.names);
          socket.write(`*2\r\n$9\r\n127.0.0.1\r\n$${port.length}\r\n${port}\r\n`);
        }
      });
    });
  }

  static async start(names: number | null): Promise<NamedBy> {
    const named = new NamedBy(names);
    named.#port = await freePort();
    await new Promise<void>(
      (resolve) => void named.#server.listen(named.#port, '127.0.0.1', resolve),
    );
    return named;
  }

  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

export const urlOf = (all: readonly NamedBy[]) =>
  `redis+sentinel://${all.map(({ host }) => host).join(',')}/${NAME}`;
