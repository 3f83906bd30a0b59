/** The usual first server: calls `send` for each member of the room. A path is a room. */
import { WebSocketServer } from 'ws';

/** @type {Map<string, Set<import('ws').WebSocket>>} */
const rooms = new Map();
const server = new WebSocketServer({ port: Number(process.argv[2]), host: '127.0.0.1' });

server.on('connection', (socket, request) => {
  const name = String(request.url);
  const room = rooms.get(name) ?? new Set();
  rooms.set(name, room.add(socket));
  socket.on('message', (data) => {
    const text = data.toString();
    for (const member of room) member.send(text);
  });
  socket.on('close', () => room.delete(socket));
  socket.on('error', () => {}); // 'close' follows
});
