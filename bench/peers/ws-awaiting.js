/**
 * The ws loop with the defect that the load tool must find: it awaits each `send` before the next, so
 * that a member that does not read delays all members after it.
 */
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ port: Number(process.argv[2]), host: '127.0.0.1' });
let last = Promise.resolve();

server.on('connection', (socket) => {
  socket.on('message', (data) => {
    const text = data.toString();
    last = last.then(async () => {
      for (const member of server.clients) {
        await new Promise((resolve) => member.send(text, resolve));
      }
    });
  });
  socket.on('error', () => {}); // 'close' follows
});
