/** A server with a public base URL: SockJS clients connect there, whichever server they asked first. */
import { expect, test } from 'vitest';
import { serve } from '../support/server.js';
import { openSockJs } from '../support/sockjs-client.js';

test('sockjs-client opens its session at the base URL of info', async () => {
  const home = await serve();
  const baseUrl = `${home.url}/sockjs`;
  const asked = await serve({ sockjsBaseUrl: baseUrl });
  const infoOf = async (url: string) => (await fetch(`${url}/sockjs/info`)).json();
  expect(await infoOf(asked.url)).toMatchObject({ base_url: baseUrl, websocket: true });
  expect(await infoOf(home.url)).not.toHaveProperty('base_url');
  for (const transport of ['websocket', 'xhr-streaming', 'xhr-polling']) {
    const client = openSockJs(`${asked.url}/sockjs`, transport);
    await new Promise<void>((resolve) => {
      client.onmessage = () => resolve();
    });
    expect([transport, home.members().length, asked.members().length]).toEqual([transport, 1, 0]);
    client.close();
    await expect.poll(() => home.members().length).toBe(0);
  }
});
