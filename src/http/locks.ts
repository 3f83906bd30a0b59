/**
 * What locks are held and waited for, and what the detector has found: the same picture that
 * `roomcast locks` prints and SIGUSR2 writes to the log.
 */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import type { LockSnapshot } from '../lock/index.js';
import { type Outcome, Workers } from './across.js';
import type { HttpDeps } from './deps.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);

const Mode = Type.Enum(['read', 'write']);

const Worker = Type.Optional(Type.Integer({ description: 'With --workers: whose it is.' }));

/** Of one process, or of several workers. */
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
      mode: Type.Enum(['off', 'watch', 'strict'], { description: 'Of the detector.' }),
      held: Type.Array(
        Type.Object({
          lock: Type.String(),
          mode: Mode,
          site: Type.String({ description: 'Where in the code it was taken.' }),
          task: NullableText,
          ageMs: Type.Number(),
          worker: Worker,
        }),
      ),
      pending: Type.Array(
        Type.Object({
          on: Type.String({ description: 'What is waited for.' }),
          mode: Type.Union([Mode, Type.Null()]),
          site: Type.String(),
          task: NullableText,
          ageMs: Type.Number(),
          timeoutMs: Type.Union([Type.Number(), Type.Null()]),
          worker: Worker,
        }),
      ),
      edges: Type.Array(Type.Object({ from: Type.String(), to: Type.String(), worker: Worker }), {
        description: 'Who waits for what, and what waits for whom.',
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
        { description: 'The latest incidents, in words too.' },
      ),
      workers: Workers,
    },
    { description: 'The locks of this server, now; at most 100 entries a list.' },
  ),
);

/** Entries a list. */
const LIMIT = 100;

export const locks =
  ({ detector }: Pick<HttpDeps, 'detector'>): FastifyPluginCallbackTypebox =>
  (app, _options, done) => {
    app.get(
      '/v1/locks',
      {
        schema: {
          operationId: 'getLocks',
          summary: 'Locks held and waited for, and what was found wrong with them',
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
