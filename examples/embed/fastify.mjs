import fastify from 'fastify';
import { createRoomcast } from 'roomcast';

const app = fastify();
const roomcast = createRoomcast();
roomcast.attach(app.server);
app.get('/', () => 'the app');
// Members are told when to reconnect before fastify closes the server. A hook must not return a value.
app.addHook('preClose', async () => {
  await roomcast.close();
});
process.once('SIGTERM', () => app.close());
console.log(await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' }));
