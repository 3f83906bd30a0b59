/** A server for a test: on a free port, silent, with whatever options the test is about. */
import { onTestFinished } from 'vitest';
import type { Config } from '../../src/config.js';
import { createServer, type Server } from '../../src/server.js';

/** Closed when the test is over. Sheds its members at once, unless the test says otherwise. */
export async function serve(
  options: Partial<Config> = {},
): Promise<Server & { readonly url: string }> {
  const server = createServer({ port: 0, drainMs: 0, ...options });
  const url = await server.listen();
  onTestFinished(async () => {
    await server.close();
  });
  return { ...server, url };
}
