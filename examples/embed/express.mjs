import { createServer } from 'node:http';
import express from 'express';
import { createRoomcast } from 'roomcast';

const app = express();
app.get('/', (_request, response) => response.send('the app'));
const server = createServer(app);
const roomcast = createRoomcast({ log: console });
roomcast.attach(server);
server.listen(Number(process.env.PORT ?? 3000), () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});

process.once('SIGTERM', async () => {
  server.close();
  // Members are told when to reconnect.
  await roomcast.close();
});
