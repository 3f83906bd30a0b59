/**
 * Addresses in options: where this process listens (`--metrics-port`, `agent --listen`), and where the
 * agents are (`--agents`).
 */
import type { Server } from 'node:net';
import { badOption } from './error.js';
import type { Address } from './wire/wire.js';

const LIKE = 'host:port, such as 10.0.0.2:7700';

/** `host:port` or `[::1]:port`. @throws LoadError `bad_option` */
export function parseAddress(option: string, text: string, expected = LIKE): Address {
  const match = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match) throw badOption(option, text, expected);
  checkPort(option, text, port);
  return { host: match[1] ?? match[2]!, port };
}

/** `port` (on loopback) or `host:port`. @throws LoadError `bad_option` */
export function parseListen(option: string, text: string): Address {
  if (!/^\d+$/.test(text)) return parseAddress(option, text, `a port, or ${LIKE}`);
  const port = Number(text);
  checkPort(option, text, port);
  return { host: '127.0.0.1', port };
}

function checkPort(option: string, text: string, port: number): void {
  if (port > 65_535) throw badOption(option, text, 'a port of at most 65535');
}

/** Resolves once the server listens; rejects with LoadError `bad_option`. */
export function listen(server: Server, option: string, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        badOption(
          option,
          `${host}:${port}`,
          `an address to listen on that is free (${error.code})`,
        ),
      );
    });
    server.listen(port, host, () => resolve());
  });
}
