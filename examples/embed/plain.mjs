// Without a framework: `handle` calls back for requests of the app; `handleUpgrade` returns false for them.
import { createServer } from 'node:http';
import { createRoomcast } from 'roomcast';

const roomcast = createRoomcast();
const server = createServer((request, response) => {
  roomcast.handle(request, response, () => response.end('the app'));
});
server.on('upgrade', (request, socket, head) => {
  if (!roomcast.handleUpgrade(request, socket, head)) socket.destroy();
});
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});

process.once('SIGTERM', async () => {
  server.close();
  // Members are told when to reconnect.
  await roomcast.close();
});
