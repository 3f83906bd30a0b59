/**
 * A stand-in for a Phoenix server, which is not in the registries: channels over version 2 of the JSON
 * serializer, with a channel `room:*` that broadcasts "publish". The client of Phoenix is run against
 * it.
 */
import { type Peer, Rooms, startPeer } from './rooms.js';

type Frame = [joined: string | null, ref: string, topic: string, event: string, payload: object];

export function startPhoenix(): Promise<Peer> {
  const rooms = new Rooms();
  return startPeer((client, request) => {
    if (!request.url?.startsWith('/socket/websocket') || !request.url.includes('vsn=2.0.0')) {
      return client.close(1002);
    }
    client.on('message', (frame: Buffer) => {
      const [joined, ref, topic, event, payload] = JSON.parse(frame.toString()) as Frame;
      const reply = (status: 'ok' | 'error', response: object): void =>
        client.send(JSON.stringify([joined, ref, topic, 'phx_reply', { status, response }]));
      if (topic === 'phoenix') return reply('ok', {});
      if (event === 'phx_join') {
        if (!topic.startsWith('room:')) return reply('error', { reason: 'unmatched topic' });
        rooms.enter(topic, client);
        return reply('ok', {});
      }
      if (!rooms.has(topic, client)) return reply('error', { reason: 'unmatched topic' });
      if (event === 'phx_leave') {
        rooms.leave(topic, client);
        reply('ok', {});
        client.send(JSON.stringify([joined, ref, topic, 'phx_close', {}]));
      } else if (event === 'publish') {
        rooms.send(topic, JSON.stringify([null, null, topic, event, payload]));
      }
    });
  });
}
