/**
 * Route that lists the held and awaited locks and the detector's findings. `roomcast locks` prints the
 * same and SIGUSR2 logs it.
 */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import type { LockSnapshot } from '../lock/index.js';
import { type Outcome, Workers } from './across.js';
import type { HttpDeps } from './deps.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);

const Mode = Type.Enum(['read', 'write']);

const Worker = Type.Optional(Type.Integer({ description: 'With --workers: slot of the worker.' }));

/** The locks of one process or of several workers. */
export type LocksOfAll = {
  readonly [List in
    | 'held'
    | 'pending'
    | 'edges'
    | 'reports']: readonly (LockSnapshot[List][number] & {
    readonly worker?: number;
  })[];
} & Pick<LockSnapshot, 'mode' | 'leftOut'>;

const Locks = Type.Unsafe<LocksOfAll>(
  Type.Object(
    {
      mode: Type.Enum(['off', 'watch', 'strict'], { description: 'Mode of the detector.' }),
      held: Type.Array(
        Type.Object({
          lock: Type.String(),
          mode: Mode,
          site: Type.String({ description: 'Where in the code the lock was taken.' }),
          task: NullableText,
          ageMs: Type.Number(),
          worker: Worker,
        }),
      ),
      pending: Type.Array(
        Type.Object({
          on: Type.String({ description: 'The awaited lock.' }),
          mode: Type.Union([Mode, Type.Null()]),
          site: Type.String(),
          task: NullableText,
          ageMs: Type.Number(),
          timeoutMs: Type.Union([Type.Number(), Type.Null()]),
          worker: Worker,
        }),
      ),
      edges: Type.Array(Type.Object({ from: Type.String(), to: Type.String(), worker: Worker }), {
        description: 'The wait-for graph: which task waits for which lock, and who holds it.',
      }),
      leftOut: Type.Object({
        held: Type.Integer(),
        pending: Type.Integer(),
        edges: Type.Integer(),
      }),
      reports: Type.Array(
        Type.Object({
          id: Type.String(),
          kind: Type.String(),
          certain: Type.Boolean(),
          count: Type.Integer(),
          ageMs: Type.Number(),
          at: Type.Number({ description: 'Milliseconds since 1970.' }),
          over: Type.Boolean(),
          tasks: Type.Array(Type.String()),
          chain: Type.Array(Type.String()),
          text: Type.String(),
          worker: Worker,
        }),
        { description: 'The latest incidents. `text` describes each in words.' },
      ),
      workers: Workers,
    },
    { description: 'The current locks of this server; at most 100 entries per list.' },
  ),
);

/** Maximum number of entries per list. */
const LIMIT = 100;

export const locks =
  ({ detector }: Pick<HttpDeps, 'detector'>): FastifyPluginCallbackTypebox =>
  (app, _options, done) => {
    app.get(
      '/v1/locks',
      {
        schema: {
          operationId: 'getLocks',
          summary: 'List held and awaited locks, and the incidents detected',
          tags: ['status'],
          response: { 200: Locks },
        },
        config: { across: { merge: mergeLocks } },
      },
      () => detector.snapshot(LIMIT),
    );
    done();
  };

function mergeLocks(outcomes: readonly Outcome[]): LocksOfAll {
  const all = outcomes.map(({ slot, body }) => ({ slot, locks: body as LockSnapshot }));
  const of = <List extends 'held' | 'pending' | 'edges' | 'reports'>(list: List) =>
    all.flatMap(({ slot, locks }) =>
      (locks[list] as readonly LockSnapshot[List][number][]).map((each) => ({
        ...each,
        worker: slot,
      })),
    );
  const leftOut = (list: keyof LockSnapshot['leftOut']) =>
    all.reduce((sum, { locks }) => sum + locks.leftOut[list], 0);
  return {
    mode: all[0]?.locks.mode ?? 'off',
    held: of('held'),
    pending: of('pending'),
    edges: of('edges'),
    reports: of('reports'),
    leftOut: { held: leftOut('held'), pending: leftOut('pending'), edges: leftOut('edges') },
  };
}
