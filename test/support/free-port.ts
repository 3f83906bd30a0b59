import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Above the ports that browsers and `fetch` refuse, and below those that systems give to connections and
 * to servers that ask for any.
 */
const FIRST = 11_000;
const LAST = 32_767;

/**
 * A currently unused port of 127.0.0.1, for a program that cannot choose one itself. While the program
 * restarts, no connection and no server of another test gets it by chance.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, LAST + 1);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
