/**
 * Compares the client's copy of the frames with the server's. Types of server frames are compared by
 * `npm run check`; a frame that only one side knows is an error. Client commands are run through the
 * server's checks.
 */
import { expect, expectTypeOf, test } from 'vitest';
import { RoomcastError } from '../../client/src/index.js';
import type { Command, Feature, Frame } from '../../client/src/wire.js';
import { REFUSAL } from '../../src/errors.js';
import { defaults } from '../../src/options/config.js';
import type {
  Core,
  Event,
  Feature as FeatureOfServer,
  MessageEvent,
  PastEvent,
} from '../../src/protocol/events.js';
import { commandOf } from '../../src/session/commands/index.js';

type OfServer<T> = Extract<Event, { type: T }>;
type OfClient<T> = Extract<Frame, { type: T }>;
/** Frame types that must not differ. */
type Same =
  | 'joined'
  | 'left'
  | 'published'
  | 'authenticated'
  | 'history'
  | 'pong'
  | 'gap'
  | 'broker'
  | 'presence'
  | 'presence_diff'
  | 'expiring'
  | 'closing';

test('server frames and client frames have the same types', () => {
  expectTypeOf<OfServer<Same>>().toExtend<OfClient<Same>>();
  expectTypeOf<OfClient<Same>>().toExtend<OfServer<Same>>();
  expectTypeOf<OfServer<Same>['type']>().toEqualTypeOf<Same>();
  expectTypeOf<OfServer<'reset'>>().toExtend<OfClient<'reset'>>();
  expectTypeOf<OfClient<'reset'>>().toExtend<OfServer<'reset'>>();
});

test('a client accepts unknown codes, versions and fields', () => {
  expectTypeOf<OfServer<'welcome'>>().toExtend<OfClient<'welcome'>>();
  expectTypeOf<OfServer<'error'>>().toExtend<OfClient<'error'>>();
  expectTypeOf<OfServer<'health'>>().toExtend<OfClient<'health'>>();
  expectTypeOf<keyof OfServer<'health'>>().toEqualTypeOf<keyof OfClient<'health'>>();
  // `data` is JSON text in the server and a value on the wire.
  expectTypeOf<Omit<MessageEvent, 'data' | 'event'>>().toExtend<
    Omit<OfClient<'message'>, 'data' | 'type'>
  >();
});

test('history pages are the same, apart from `data`', () => {
  type Past = OfClient<'past'>;
  expectTypeOf<Omit<PastEvent, 'messages'>>().toExtend<Omit<Past, 'messages' | 'type'>>();
  expectTypeOf<Omit<Past, 'messages' | 'type'>>().toExtend<Omit<PastEvent, 'messages' | 'id'>>();
  expectTypeOf<Omit<Core, 'data'>>().toExtend<Omit<Past['messages'][number], 'data'>>();
  expectTypeOf<Omit<Past['messages'][number], 'data'>>().toExtend<Omit<Core, 'data'>>();
  expectTypeOf<Feature>().toEqualTypeOf<FeatureOfServer>();
});

/** Each command of the client with all its fields, each with a different value. */
const COMMANDS = {
  auth: { type: 'auth', token: 'token-1' },
  join: { type: 'join', room: 'room-1', since: { seq: 41, epoch: 'epoch-1' }, presence: true },
  leave: { type: 'leave', room: 'room-1' },
  publish: { type: 'publish', room: 'room-1', data: 'data-1', key: 'key-1', uid: 'uid-1' },
  history: { type: 'history', room: 'room-1', epoch: 'epoch-1', from: 42, to: 57 },
  ping: { type: 'ping' },
} as const satisfies { [T in Command['type']]: Required<Extract<Command, { type: T }>> };

test.each(Object.values(COMMANDS))(
  'the server understands $type, with each of its fields',
  (sent) => {
    const { type, ...fields } = sent;
    const limits = { ...defaults, roomNamePattern: /^.+$/ };
    const command = commandOf(sent, 100, limits);
    expect(command.type).toBe(type);
    const understood = JSON.stringify([command.check(sent, limits)]);
    const leaves = JSON.stringify(fields).match(/[\w-]+(?="?[,}])/g) ?? [];
    for (const leaf of leaves) expect(understood).toContain(leaf);
    expect(leaves.length).toBeGreaterThanOrEqual(Object.keys(fields).length);
  },
);

test('the client treats as final the refusals whose HTTP status does not allow a retry', () => {
  /** Codes of HTTP requests, and one that the client answers itself. */
  const never = ['head_too_big', 'too_slow', 'not_found', 'method_not_allowed', 'upgrade_required'];
  const others = ['too_many_viewers', 'binary_frame', 'already_joined'];
  const wrong = Object.entries(REFUSAL).filter(([code, { status }]) => {
    if ([...never, ...others].includes(code)) return false;
    // Succeeds with the next token.
    const isRetryable = status >= 500 || status === 429 || code === 'token_expired';
    return new RoomcastError(code).retryable !== isRetryable;
  });
  expect(wrong).toEqual([]);
});

test('the server sends no other types', () => {
  expectTypeOf<Exclude<Event['type'], Frame['type']>>().toEqualTypeOf<never>();
  // Frames of the encoder of messages and history pages.
  expectTypeOf<Exclude<Frame['type'], Event['type']>>().toEqualTypeOf<'message' | 'past'>();
});
