// A user who has logged in to the app is that user in its rooms: the connection sends the session cookie.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import express from 'express';
import { createRoomcast, Refusal } from 'roomcast';

const users = new Map();
const sessionOf = ({ headers: { cookie = '' } }) =>
  new URLSearchParams(cookie.replaceAll('; ', '&')).get('session');

const app = express();
app.post('/login', express.json(), (request, response) => {
  const session = randomUUID();
  users.set(session, request.body.user); // Check the password here.
  // Pages of other sites can open a WebSocket too, but not with a SameSite cookie.
  response.cookie('session', session, { httpOnly: true, sameSite: 'strict' }).sendStatus(204);
});
app.post('/logout', (request, response) => {
  const session = sessionOf(request);
  // The session is gone, so nobody can reconnect with it; end its current and pending connections.
  if (users.delete(session)) roomcast.revoke({ token: session, keepMs: 60_000 });
  response.clearCookie('session').sendStatus(204);
});

const roomcast = createRoomcast({
  log: console,
  joinBy: 'users',
  publishBy: 'users',
  auth: {
    connect(handshake) {
      const session = sessionOf(handshake);
      const user = users.get(session);
      if (user === undefined) throw new Refusal('unauthorised', 'Log in first.');
      return { user, tokenId: session };
    },
  },
});
const server = createServer(app);
roomcast.attach(server);
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
