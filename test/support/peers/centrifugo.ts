/**
 * A stand-in for Centrifugo, which is not in the registries. It implements connect, subscribe,
 * unsubscribe, publish, pings and pushes of its JSON protocol. Its own client `centrifuge` is run
 * against it.
 */
import { type Peer, Rooms, startPeer } from './rooms.js';

interface Command {
  id?: number;
  connect?: object;
  subscribe?: { channel: string };
  unsubscribe?: { channel: string };
  publish?: { channel: string; data: unknown };
}

export function startCentrifugo(): Promise<Peer> {
  const rooms = new Rooms();
  return startPeer((client) => {
    let connected = false;
    client.on('message', (frame: Buffer) => {
      const replies: object[] = [];
      for (const line of frame.toString().split('\n').filter(Boolean)) {
        const { id, connect, subscribe, unsubscribe, publish } = JSON.parse(line) as Command;
        const denied = { id, error: { code: 103, message: 'permission denied' } };
        if (id === undefined) continue; // a pong
        if (connect) {
          connected = true;
          // A ping together with the reply to connect, as one frame of two lines.
          replies.push(
            { id, connect: { client: 'c', version: '6.0.0', ping: 25, pong: true } },
            {},
          );
        } else if (!connected) client.close(3501, 'bad request');
        else if (subscribe) {
          rooms.enter(subscribe.channel, client);
          replies.push({ id, subscribe: {} });
        } else if (unsubscribe) {
          rooms.leave(unsubscribe.channel, client);
          replies.push({ id, unsubscribe: {} });
        } else if (publish && rooms.has(publish.channel, client)) {
          const { channel, data } = publish;
          rooms.send(channel, JSON.stringify({ push: { channel, pub: { data } } }));
          replies.push({ id, publish: {} });
        } else replies.push(denied);
      }
      if (replies.length > 0) client.send(replies.map((each) => JSON.stringify(each)).join('\n'));
    });
  });
}
