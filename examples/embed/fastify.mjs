import fastify from 'fastify';
import { createRoomcast } from 'roomcast';

const app = fastify();
const roomcast = createRoomcast();
roomcast.attach(app.server);
app.get('/', () => 'the app');
// Members are told when to reconnect before fastify closes the server.
app.addHook('preClose', () => roomcast.close());
console.log(await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' }));
