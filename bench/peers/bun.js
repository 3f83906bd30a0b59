/** Bun's native publish (uWebSockets), defaults. A path is a topic. Runs under Bun. */
const server = Bun.serve({
  port: Number(process.argv[2]),
  hostname: '127.0.0.1',
  fetch(request, server) {
    const topic = new URL(request.url).pathname;
    return server.upgrade(request, { data: { topic } })
      ? undefined
      : new Response('Upgrade Required', { status: 426 });
  },
  websocket: {
    open(socket) {
      socket.subscribe(socket.data.topic);
    },
    message(socket, data) {
      server.publish(socket.data.topic, data);
    },
  },
});
