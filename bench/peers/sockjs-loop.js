/** The usual sockjs server: calls `write` for each member of the room. Accepts the joins of roomcast. */
import { createServer } from 'node:http';
import sockjs from 'sockjs';

/** @type {Map<string, Set<import('sockjs').Connection>>} */
const rooms = new Map();
const echo = sockjs.createServer({ log: () => {} });

echo.on('connection', (connection) => {
  /** @type {Set<import('sockjs').Connection>} */
  let room = new Set();
  connection.on('data', (text) => {
    const command = JSON.parse(text);
    if (command.type === 'join') {
      room = rooms.get(command.room) ?? new Set();
      rooms.set(command.room, room.add(connection));
    } else {
      const event = { type: 'message', room: command.room, seq: 12345, from: 'AAAAAAAAAAAA' };
      const message = JSON.stringify({ ...event, at: Date.now(), data: command.data });
      for (const member of room) member.write(message);
    }
  });
  connection.on('close', () => room.delete(connection));
});

const server = createServer();
echo.installHandlers(server, { prefix: '/sockjs' });
server.listen(Number(process.argv[2]), '127.0.0.1');
