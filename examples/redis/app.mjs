// An app of several processes with shared rooms over Redis: a message to one reaches the members of all.
//
//   npm install roomcast @redis/client
//   redis-server &
//   PORT=3001 node app.mjs &
//   PORT=3002 node app.mjs
//   curl -X POST --data hello http://127.0.0.1:3001/say
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { createRoomcast } from 'roomcast';

const roomcast = createRoomcast({
  broker: 'redis',
  redisUrl: process.env.REDIS_URL ?? 'redis://127.0.0.1',
  clusterName: 'example',
});

const server = createServer(async (request, response) => {
  if (roomcast.handle(request, response)) return;
  if (request.method !== 'POST') return response.end('the app');
  try {
    const { seq } = await roomcast.publish('chat:lobby', { text: await text(request) });
    response.end(`message ${seq}\n`);
  } catch ({ code, message }) {
    // `broker_unavailable`: not published. `broker_uncertain`: published at most once, perhaps not at all.
    response.writeHead(503).end(`${code}: ${message}\n`);
  }
});
server.on('upgrade', (request, socket, head) => {
  if (!roomcast.handleUpgrade(request, socket, head)) socket.destroy();
});
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});

process.once('SIGTERM', async () => {
  server.close();
  await roomcast.close();
});
