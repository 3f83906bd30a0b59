/**
 * Pages for the browser tests, served from their own origin. They use the built client with its
 * shortened names.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build } from 'esbuild';

const root = new URL('../../', import.meta.url).pathname;
const SOCKJS = `${root}node_modules/sockjs-client/dist/sockjs.min.js`;

/** Globals of the pages: the client and helpers for the tests. */
const ENTRY = `
import { connect } from 'roomcast-client';
import { withSockJS } from 'roomcast-client/sockjs';
import { createElement, StrictMode, useEffect } from 'react';
import { createRoot } from 'react-dom/client';
import { flushSync } from 'react-dom';
import { useRoom } from './examples/client/use-room.js';

/** A client, its room, and all their events. */
globalThis.start = (url, { sockjs = false, ...options } = {}) => {
  const told = [];
  const opened = [];
  if (sockjs) {
    options.WebSocket = withSockJS(
      (url) => new SockJS(url, null, { transports: ['xhr-streaming'] }),
      (url) => { opened.push(url); return new WebSocket(url); },
    );
  }
  const client = connect(url.replace('http', 'ws') + '/ws', options);
  const room = client.room('a');
  client.on('state', ({ state, reason }) => told.push(reason ? state + ' ' + reason.code : state));
  room.on('joined', ({ recovery, missed }) => told.push(recovery + ' ' + missed));
  room.on('message', ({ data }) => told.push(data));
  room.on('gap', ({ from, to, reason }) => told.push(reason + ' ' + from + '-' + to));
  room.join();
  Object.assign(globalThis, { client, room, told, opened });
};

function Room({ client, name }) {
  const { messages, lost, state } = useRoom(client, name);
  return createElement('p', {}, name, ' ', state, ' ', lost, ': ', messages.map(({ data }) => data).join());
}
/** Mounts components of the same room in StrictMode. Returns a function that unmounts them. */
globalThis.mount = (names) => {
  const root = createRoot(document.body.appendChild(document.createElement('div')));
  const rooms = names.map((name, key) => createElement(Room, { client, name, key }));
  flushSync(() => root.render(createElement(StrictMode, {}, rooms)));
  return () => flushSync(() => root.unmount());
};
`;

/** `/?policy=` serves a page with a Content-Security-Policy and SockJS; `/page.html` is the example. */
export async function servePages(): Promise<{ origin: string; close(): void }> {
  const { outputFiles } = await build({
    stdin: { contents: ENTRY, resolveDir: root },
    bundle: true,
    format: 'iife',
    logLevel: 'error',
    write: false,
    // Production builds mount only once.
    define: { 'process.env.NODE_ENV': '"development"' },
  });
  const [{ text }] = outputFiles as unknown as [{ text: string }];
  const http = createServer();
  http.on('request', ({ url }, response) => {
    const { pathname, searchParams } = new URL(String(url), 'http://page');
    const policy = searchParams.get('policy');
    // SockJS listens to `unload`, which keeps its page out of the back/forward cache.
    const scripts = policy ? ['sockjs', 'app'] : ['app'];
    const tag = (name: string) => `<script src="/${name}.js"></script>`;
    if (policy) response.setHeader('content-security-policy', policy);
    if (pathname === '/app.js') response.end(text);
    else if (pathname === '/sockjs.js') response.end(readFileSync(SOCKJS));
    else {
      response.setHeader('content-type', 'text/html');
      if (pathname === '/page.html') {
        response.end(readFileSync(`${root}examples/client/page.html`));
      } else response.end(`<!doctype html><body>${scripts.map(tag).join('')}`);
    }
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { port } = http.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    close() {
      http.closeAllConnections();
      http.close();
    },
  };
}
