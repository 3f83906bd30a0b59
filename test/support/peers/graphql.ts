/** A real GraphQL server over WebSocket: `graphql-ws` and `graphql`, with the schema of the example. */
import { EventEmitter, on } from 'node:events';
import { createRequire } from 'node:module';
import { type Peer, startPeer } from './rooms.js';

// Both by `require`: only one copy of graphql may be loaded, and Vite would use its ES modules.
const require = createRequire(import.meta.url);
const { buildSchema } = require('graphql') as typeof import('graphql');
const { useServer } = require('graphql-ws/use/ws') as typeof import('graphql-ws/use/ws');

const SCHEMA = buildSchema(`
  type Query { ok: Boolean! }
  type Mutation { publish(room: String!, data: String!): Boolean! }
  type Subscription { message(room: String!): String! }
`);

export async function startGraphql(): Promise<Peer> {
  const published = new EventEmitter().setMaxListeners(0);
  const { message } = SCHEMA.getSubscriptionType()!.getFields();
  message!.resolve = ([data]: [string]) => data;
  const peer = await startPeer(() => {}, { handleProtocols: () => 'graphql-transport-ws' });
  useServer(
    {
      schema: SCHEMA,
      roots: {
        query: {},
        mutation: {
          publish({ room, data }: { room: string; data: string }): boolean {
            published.emit(room, data);
            return true;
          },
        },
        subscription: { message: ({ room }: { room: string }) => on(published, room) },
      },
    },
    peer.server,
  );
  return peer;
}
