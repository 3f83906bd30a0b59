/**
 * Routes that are about all workers: the one that is asked asks the others the same, and makes one answer
 * of all. Who has not answered in time is named in it. With one process nothing of this happens.
 *
 * A route says how by `config.across`: what it does with its own answer and those of others.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { Refusal } from '../errors.js';
import type { Answer, Peers } from './peers.js';

/** What became of a question at one worker. */
export interface Outcome {
  readonly slot: number;
  /** Null where it was refused, or there was nothing to say. */
  readonly body: unknown;
  readonly isDone: boolean;
}

interface Across {
  /**
   * Makes one answer of several that were given, the asked worker's first; at least one was.
   * Where none was, the asked worker's refusal is the answer.
   */
  readonly merge: (
    outcomes: readonly Outcome[],
    query: Readonly<Record<string, unknown>>,
  ) => unknown;
  /** What the others are asked instead of the same. */
  readonly url?: (request: FastifyRequest) => string;
  /** The answer has no body. */
  readonly isEmpty?: true;
  /** It is done when every worker has done it, or has nothing to do it to, and not before. */
  readonly isOfAll?: true;
  /** It is about workers without their slot too, such as one that leaves it and has members still. */
  readonly isEverywhere?: true;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    across?: Across;
  }
}

/** From now on routes of this app are answered for all workers where they say so. */
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
        // It may be at one of those.
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

/** What an answer of several workers says of them. */
export const Workers = Type.Optional(
  Type.Object(
    {
      asked: Type.Integer(),
      answered: Type.Integer(),
      missing: Type.Array(Type.Integer(), { description: 'Those that did not do it in time.' }),
    },
    { description: 'With --workers: whose answers are in this one.' },
  ),
);

const isNotFound = (error: unknown) => error instanceof Refusal && error.code === 'not_found';

function notAnswered(slots: readonly number[], others = ''): Refusal {
  const of = slots.length === 1 ? 'Worker' : 'Workers';
  const names = [...slots].sort((a, b) => a - b).join(', ');
  return new Refusal(
    'worker_unavailable',
    `${of} ${names} did not do it in time: ${others}ask again.`,
  );
}

const outcomeOf = ({ slot, status, body }: Answer): Outcome => ({
  slot,
  body,
  isDone: status >= 200 && status < 300,
});

/** As every such answer has it. */
export function summary(missing: ReadonlySet<number>, { count }: Peers) {
  return {
    asked: count,
    answered: count - missing.size,
    missing: [...missing].sort((a, b) => a - b),
  };
}
