/** A revocation with several workers: it holds at all of them or at none. */
import Fastify from 'fastify';
import { afterEach, expect, it } from 'vitest';
import { Alarms } from '../../src/auth/alarms.js';
import { Revocations } from '../../src/auth/revocations.js';
import type { HttpDeps } from '../../src/http/deps.js';
import { failureHandler } from '../../src/http/failures.js';
import type { Answer, Question } from '../../src/http/peers.js';
import { revocations } from '../../src/http/revocations.js';
import { People } from '../../src/session/people.js';

const alarms = new Alarms();
afterEach(() => alarms.close());

const done = (slot: number) => ({ slot, status: 200, body: { id: 'x', closed: 2, left: 1 } });
const refused = (slot: number, status: number, code: string) => ({
  slot,
  status,
  body: { code, message: `${slot} has refused it.` },
});
const full = (slot: number) => refused(slot, 503, 'revocations_full');

/** `answers`: what the other workers answer; a worker without an answer is missing. */
async function revoke(answers: Answer[], missing: number[] = [], max = 10) {
  const people = new People(new Revocations(max, 0, alarms));
  const asked: Question[] = [];
  const peers = {
    slot: 0,
    count: 1 + answers.length + missing.length,
    async ask(question: Question) {
      asked.push(question);
      return { answers, missing };
    },
    isPeer: () => false,
  };
  const app = Fastify();
  app.setErrorHandler(failureHandler({ observer: { refused() {} } } as unknown as HttpDeps));
  app.register(revocations({ people, peers } as unknown as HttpDeps));
  const payload = { user: '42' };
  const { statusCode, json } = await app.inject({
    method: 'POST',
    url: '/v1/revocations',
    payload,
  });
  const [post] = asked as [Question];
  const insists = (answer: Answer | null) => post.insists?.(answer);
  return { status: statusCode, body: json(), people, asked, insists };
}

it('reaches all workers with members, with its id and its time', async () => {
  const { status, body, asked } = await revoke([done(1), done(2)]);
  expect([status, body]).toEqual([
    200,
    {
      id: body.id,
      closed: 4,
      left: 2,
      workers: { asked: 3, answered: 3, missing: [] },
    },
  ]);
  expect(asked).toMatchObject([
    {
      method: 'POST',
      isEverywhere: true,
      headers: { 'x-roomcast-revocation': body.id },
      body: { user: '42', before: expect.any(Number) },
    },
  ]);
});

it('retries at workers that refuse, and lists them as missing', async () => {
  const busy = refused(2, 503, 'server_busy');
  const { status, body, people, insists } = await revoke([done(1), busy], [3]);
  expect([status, body]).toMatchObject([
    200,
    { closed: 2, left: 1, workers: { asked: 4, answered: 2, missing: [2, 3] } },
  ]);
  const wrong = refused(2, 400, 'bad_command');
  expect([null, busy, full(2), wrong, done(2)].map(insists)).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
  // For as long as the revocation is in force.
  people.lift(body.id);
  expect([null, busy].map(insists)).toEqual([false, false]);
});

it.each([
  ['another worker', [done(1), full(2)], 10],
  ['this worker', [done(1), done(2)], 0],
])('is lifted everywhere if %s is full', async (_, answers, max) => {
  const { status, body, people, asked } = await revoke(answers, [], max);
  expect([status, body.code]).toEqual([503, 'revocations_full']);
  expect(people.revocations()).toEqual([]);
  const [post, lift] = asked as [Question, Question];
  const id = post.headers?.['x-roomcast-revocation'];
  expect(lift).toMatchObject({
    method: 'DELETE',
    url: `/v1/revocations/${id}`,
    isEverywhere: true,
  });
  const gone = refused(1, 404, 'not_found');
  expect([null, full(1), gone, done(1)].map((answer) => lift.insists?.(answer))).toEqual([
    true,
    true,
    false,
    false,
  ]);
  // No retry restores it.
  expect(people.revoke({ user: '42' }, id)).toEqual({ id, closed: 0, left: 0 });
});
