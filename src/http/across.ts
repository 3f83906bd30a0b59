/**
 * Requests that concern all workers: the asked worker forwards the request to the others and merges the
 * answers. The answer names the workers that refused or did not answer in time. Without workers, none of
 * this happens.
 *
 * A route opts in with `config.across`.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { Refusal } from '../errors.js';
import type { Answer, Peers } from './peers.js';

/** The result of a request at one worker. */
export interface Outcome {
  readonly slot: number;
  /** Null if the worker refused, or if the answer has no body. */
  readonly body: unknown;
  readonly isDone: boolean;
}

interface Across {
  /**
   * Merges the successful answers, the asked worker's first; there is at least one. If there is none,
   * the asked worker's refusal is the answer.
   */
  readonly merge: (
    outcomes: readonly Outcome[],
    query: Readonly<Record<string, unknown>>,
  ) => unknown;
  /** URL to ask the other workers for, if it differs from the request's. */
  readonly url?: (request: FastifyRequest) => string;
  /** The answer has no body. */
  readonly isEmpty?: true;
  /** Succeeds only once every worker has done it or has nothing to do it to. */
  readonly isOfAll?: true;
  /** Also asks workers without a slot, such as one that is being replaced and still has members. */
  readonly isEverywhere?: true;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    across?: Across;
  }
}

/** From here on, routes of `app` with `config.across` are answered for all workers. */
export function answerAcross(app: FastifyInstance, peers: Peers | null): void {
  if (peers === null) return;
  app.addHook('onRoute', (route) => {
    const across = route.config?.across;
    if (across === undefined) return;
    const own = route.handler;
    route.handler = async function answer(request, reply) {
      if (peers.isPeer(request.raw)) return own.call(this, request, reply);
      const { method, body } = request;
      const url = across.url?.(request) ?? request.url;
      const asked = peers.ask({
        method,
        url,
        ...(body !== undefined && { body }),
        ...(across.isEverywhere && { isEverywhere: true }),
      });
      let refusal: unknown;
      let mine: Outcome;
      try {
        mine = { slot: peers.slot, body: await own.call(this, request, reply), isDone: true };
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refusal = error;
        mine = { slot: peers.slot, body: null, isDone: false };
      }
      const answers = await asked;
      const all = [mine, ...answers.answers.map(outcomeOf)];
      const outcomes = all.filter(({ isDone }) => isDone);
      const undone = [
        ...(refusal === undefined || isNotFound(refusal) ? [] : [peers.slot]),
        ...answers.answers.flatMap(({ slot, status }) =>
          status >= 400 && status !== 404 ? [slot] : [],
        ),
      ];
      const { missing } = answers;
      if (outcomes.length === 0) {
        // One of the missing workers may have it.
        if (isNotFound(refusal) && missing.length > 0) throw notAnswered(missing);
        throw refusal;
      }
      if (across.isOfAll && missing.length + undone.length > 0) {
        throw notAnswered([...missing, ...undone], 'the others have done it; ');
      }
      if (across.isEmpty) {
        reply.code(204);
        return null;
      }
      const merged = across.merge(outcomes, request.query as Readonly<Record<string, unknown>>);
      const unanswered = new Set([...missing, ...undone]);
      return { ...(merged as object), workers: summary(unanswered, peers) };
    };
  });
}

/** The workers behind a merged answer. */
export const Workers = Type.Optional(
  Type.Object(
    {
      asked: Type.Integer(),
      answered: Type.Integer(),
      missing: Type.Array(Type.Integer(), {
        description: 'Slots of the workers that did not answer in time, or refused.',
      }),
    },
    { description: 'With --workers: which workers this answer covers.' },
  ),
);

const isNotFound = (error: unknown) => error instanceof Refusal && error.code === 'not_found';

function notAnswered(slots: readonly number[], others = ''): Refusal {
  const of = slots.length === 1 ? 'Worker' : 'Workers';
  const names = [...slots].sort((a, b) => a - b).join(', ');
  return new Refusal(
    'worker_unavailable',
    `${of} ${names} did not answer in time, or refused: ${others}try again.`,
  );
}

const outcomeOf = ({ slot, status, body }: Answer): Outcome => ({
  slot,
  body,
  isDone: status >= 200 && status < 300,
});

/** The `workers` field of a merged answer. */
export function summary(missing: ReadonlySet<number>, { count }: Peers) {
  return {
    asked: count,
    answered: count - missing.size,
    missing: [...missing].sort((a, b) => a - b),
  };
}
