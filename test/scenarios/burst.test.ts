/**
 * A burst that WebSocket can carry arrives over every transport, although the SockJS client sends it as
 * one body.
 */
import { expect, onTestFinished, test } from 'vitest';
import { serve } from '../support/server.js';
import { Signal } from '../support/signal.js';
import { openSockJs } from '../support/sockjs-client.js';

test.each(['websocket', 'xhr-streaming', 'xhr-polling'])(
  'forty messages of almost the maximum length over %s',
  { timeout: 60_000 },
  async (transport) => {
    const { url } = await serve();
    const socket = openSockJs(`${url}/sockjs`, transport);
    onTestFinished(() => socket.close());
    const changed = new Signal();
    const seen: string[] = [];
    let published = 0;
    socket.onmessage = ({ data }) => {
      const { type } = JSON.parse(data) as { type: string };
      if (type === 'published') published += 1;
      if (['joined', 'error', 'closing'].includes(type)) seen.push(type);
      changed.fire();
    };
    socket.onclose = ({ code, reason }) => {
      seen.push(`closed ${code} ${reason}`);
      changed.fire();
    };
    socket.onopen = () => socket.send(JSON.stringify({ type: 'join', id: 0, room: 'burst' }));
    await changed.until(() => seen.length > 0);
    // The client's escaping triples the length in the body.
    const data = '\u{1f600}'.repeat(16_000);
    for (let id = 1; id <= 40; id += 1) {
      socket.send(JSON.stringify({ type: 'publish', id, room: 'burst', data }));
    }
    await changed.until(() => published === 40 || seen.length > 1);
    expect([published, seen]).toEqual([40, ['joined']]);
  },
);
