/** The bare route that HTTP publish is compared with: same framework, same body, no room behind it. */
import Fastify from 'fastify';

const app = Fastify();
let seq = 0;

app.post('/publish', async () => ({ seq: ++seq }));
await app.listen({ port: Number(process.argv[2]), host: '127.0.0.1' });
