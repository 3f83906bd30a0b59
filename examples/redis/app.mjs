// An app of several processes, whose rooms are one over Redis: what is said at one is heard at all.
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
    // `broker_unavailable`: nobody has seen it. `broker_uncertain`: it may have been seen, once.
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
