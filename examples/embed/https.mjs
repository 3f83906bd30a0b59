// An app with TLS of its own: node https.mjs cert.pem key.pem
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRoomcast } from 'roomcast';

const [cert, key] = process.argv.slice(2).map((file) => readFileSync(file));
const server = createServer({ cert, key }, (_request, response) => response.end('the app'));
createRoomcast({ log: console }).attach(server);
server.listen(Number(process.env.PORT ?? 3443), '127.0.0.1', () => {
  console.log(`https://127.0.0.1:${server.address().port}`);
});
