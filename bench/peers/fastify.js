/** A bare route, to compare HTTP publish with: same framework, same body, no room. */
import Fastify from 'fastify';

const app = Fastify();
let seq = 0;

app.post('/publish', async () => ({ seq: ++seq }));
await app.listen({ port: Number(process.argv[2]), host: '127.0.0.1' });
