/**
 * Publishing: one message, or a batch of them. What is checked, and how it is refused, is the same
 * as for a `publish` of a socket. V1: nobody waits for a member here.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { type Static, Type } from 'typebox';
import { Refusal, type RefusalCode } from '../errors.js';
import { ownText } from '../own-text.js';
import { checkPublish, MAX_KEY_LENGTH, MAX_UID_LENGTH } from '../protocol/fields.js';
import type { HttpDeps } from './deps.js';
import { Failure, failures } from './failures.js';
import { roomName } from './room-name.js';

/** Most messages of one batch. */
export const MAX_BATCH = 100;

const Message = Type.Object({
  data: Type.Unknown({ description: 'Any JSON value, null too.', examples: [{ text: 'hello' }] }),
  key: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: MAX_KEY_LENGTH,
      description: 'In a namespace with policy latest-by-key: what this message is the latest of.',
    }),
  ),
  uid: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: MAX_UID_LENGTH,
      description:
        'A name of your own for this message, such as a random UUID: sent again within five minutes, it is published once, and the answer is that of the first time.',
    }),
  ),
});

const Published = Type.Object(
  {
    room: Type.String(),
    seq: Type.Integer({ description: 'Place in the order of the room.' }),
    epoch: Type.String({ description: 'The order that `seq` counts in; a new one starts over.' }),
  },
  { description: 'It has its place in the room.' },
);

const Results = Type.Object(
  {
    results: Type.Array(Type.Union([Published, Failure]), {
      description: 'One for each message, in their order.',
    }),
  },
  { description: 'What became of each.' },
);

/** Why one message may be refused. */
const REFUSED: readonly RefusalCode[] = [
  'bad_command',
  'bad_room',
  'too_deep',
  'message_too_big',
  'room_busy',
  'broker_unavailable',
  'broker_uncertain',
  'shutting_down',
];

export function messages(deps: HttpDeps): FastifyPluginCallbackTypebox {
  const { hub, limits, observer } = deps;
  const room = roomName(limits);
  const RoomParams = Type.Object({ room });
  const Batch = Type.Object({
    messages: Type.Array(Type.Object({ room, ...Message.properties }), {
      minItems: 1,
      maxItems: MAX_BATCH,
    }),
  });

  function publish(name: unknown, message: Record<string, unknown>, headers: IncomingHttpHeaders) {
    const { room, data, key, uid } = checkPublish(
      name,
      message['data'],
      message['key'],
      message['uid'],
      limits,
    );
    const position = hub.publish(null, room, data, { key, uid, headers });
    return position instanceof Promise
      ? position.then(({ seq, epoch }) => ({ room, seq, epoch }))
      : { room, seq: position.seq, epoch: position.epoch };
  }

  async function publishOf(
    message: unknown,
    headers: IncomingHttpHeaders,
  ): Promise<Static<typeof Results>['results'][number]> {
    try {
      const fields = checkObject(message, 'A message');
      return await publish(fields['room'], fields, headers);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      observer.refused(error.code);
      return { code: error.code, message: error.message };
    }
  }

  return (app, _options, done) => {
    app.post(
      '/v1/rooms/:room/messages',
      {
        schema: {
          operationId: 'publish',
          summary: 'Publish a message',
          tags: ['messages'],
          params: RoomParams,
          body: Message,
          response: { 200: Published, ...failures('bad_json', 'server_busy', ...REFUSED) },
        },
      },
      ({ params, body, headers }) =>
        publish(ownText(params.room), checkObject(body, 'The body'), headers),
    );

    app.post(
      '/v1/messages',
      {
        schema: {
          operationId: 'publishBatch',
          summary: 'Publish several messages',
          description:
            'Messages are published one after another. One that is refused does not stop the others.',
          tags: ['messages'],
          body: Batch,
          response: {
            200: Results,
            ...failures('bad_json', 'bad_command', 'message_too_big', 'server_busy'),
          },
        },
      },
      async (request) => {
        const { messages } = checkObject(request.body, 'The body');
        if (!Array.isArray(messages) || messages.length < 1 || messages.length > MAX_BATCH) {
          throw new Refusal(
            'bad_command',
            `messages has to be an array of 1 to ${MAX_BATCH} messages.`,
          );
        }
        const results: Static<typeof Results>['results'] = [];
        for (const message of messages) results.push(await publishOf(message, request.headers));
        return { results };
      },
    );
    done();
  };
}

function checkObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Refusal('bad_command', `${what} is not a JSON object.`);
}
