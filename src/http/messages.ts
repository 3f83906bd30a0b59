/**
 * Routes that publish one message or a batch. They run the same checks and give the same refusals as a
 * `publish` over a socket. V1: no publish waits for a member.
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

/** Maximum number of messages in a batch. */
export const MAX_BATCH = 100;

const Message = Type.Object({
  data: Type.Unknown({ description: 'Any JSON value, null too.', examples: [{ text: 'hello' }] }),
  key: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: MAX_KEY_LENGTH,
      description: 'Conflation key, for namespaces with the policy latest-by-key.',
    }),
  ),
  uid: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: MAX_UID_LENGTH,
      description:
        'An id of your own for this message, such as a random UUID. A message sent again with the same uid within five minutes is published once and gets the first answer.',
    }),
  ),
});

const Published = Type.Object(
  {
    room: Type.String(),
    seq: Type.Integer({ description: 'Sequence number in the room.' }),
    epoch: Type.String({ description: 'Epoch of `seq`; a new epoch restarts the numbering.' }),
  },
  { description: 'The message is published.' },
);

const Results = Type.Object(
  {
    results: Type.Array(Type.Union([Published, Failure]), {
      description: 'One per message, in the order of the request.',
    }),
  },
  { description: 'The result of each message.' },
);

/** Refusals of a single message. */
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
            'Publishes the messages one after another. A refused message does not stop the others.',
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
            `messages must be an array of 1 to ${MAX_BATCH} messages.`,
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
