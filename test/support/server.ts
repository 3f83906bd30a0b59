/** A server for a test: on a free port, silent, with the options of the test. */
import { onTestFinished } from 'vitest';
import type { Log } from '../../src/log.js';
import type { Config } from '../../src/options/config.js';
import type { Roomcast } from '../../src/roomcast.js';
import { serve as open } from '../../src/serve.js';

type Serving = Roomcast & { readonly url: string };

/**
 * Closes its members without a drain period, unless the test overrides that. The caller must close it.
 */
export async function startServer(options: Partial<Config> = {}, log?: Log): Promise<Serving> {
  const { roomcast, url } = await open({
    port: 0,
    lameDuckMs: 0,
    drainMs: 0,
    lockDetector: 'strict',
    // Node's own default: some tests wait for the end of a connection.
    keepAliveMs: 5000,
    ...options,
    log,
  });
  return { ...roomcast, url };
}

/** Closed after the test. */
export async function serve(options: Partial<Config> = {}, log?: Log): Promise<Serving> {
  const server = await startServer(options, log);
  onTestFinished(async () => {
    await server.close();
  });
  return server;
}
