/** Socket.IO with its own rooms and defaults, except heartbeats, which the load would have to answer. */
import { Server } from 'socket.io';

const io = new Server({ transports: ['websocket'], pingInterval: 600_000, serveClient: false });

io.on('connection', (socket) => {
  socket.join(String(socket.handshake.query['room']));
  socket.on('publish', (room, data) => io.to(room).emit('m', data));
});
io.listen(Number(process.argv[2]));
