/**
 * A stand-in for a Pusher Channels server (protocol 7), which is not in the registries: private
 * channels with their signatures, client events, pings. The client of Pusher is run against it.
 */
import { createHmac } from 'node:crypto';
import { type Peer, Rooms, startPeer } from './rooms.js';

const [KEY, SECRET] = ['app-key', 'app-secret'];

interface Frame {
  event: string;
  channel?: string;
  data?: { channel?: string; auth?: string } | string;
}

export function startPusher(): Promise<Peer> {
  const rooms = new Rooms();
  let sockets = 0;
  return startPeer((client, request) => {
    const send = (event: string, data: object | string, channel?: string): void =>
      client.send(JSON.stringify({ event, ...(channel ? { channel } : {}), data }));
    if (!request.url?.startsWith(`/app/${KEY}?`)) return client.close(4001, 'no such app');
    const socketId = `${++sockets}.${sockets}`;
    send(
      'pusher:connection_established',
      JSON.stringify({ socket_id: socketId, activity_timeout: 30 }),
    );
    client.on('message', (frame: Buffer) => {
      const { event, channel = '', data } = JSON.parse(frame.toString()) as Frame;
      const asked = typeof data === 'object' ? data : {};
      if (event === 'pusher:ping') send('pusher:pong', '{}');
      else if (event === 'pusher:unsubscribe') rooms.leave(asked.channel ?? '', client);
      else if (event === 'pusher:subscribe') {
        const wanted = asked.channel ?? '';
        const signature = createHmac('sha256', SECRET)
          .update(`${socketId}:${wanted}`)
          .digest('hex');
        if (!/^private-[\w\-=@,.;]+$/.test(wanted) || asked.auth !== `${KEY}:${signature}`) {
          const refusal = { type: 'AuthError', error: 'invalid signature', status: 401 };
          return send('pusher:subscription_error', JSON.stringify(refusal), wanted);
        }
        rooms.enter(wanted, client);
        send('pusher_internal:subscription_succeeded', '{}', wanted);
      } else if (event.startsWith('client-') && rooms.has(channel, client)) {
        // As Pusher does: to all except the sender, with the data unchanged.
        rooms.send(channel, JSON.stringify({ event, channel, data }), client);
      } else send('pusher:error', { code: null, message: 'not subscribed' });
    });
  });
}
