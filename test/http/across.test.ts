/** How a worker merges the answers of all workers when some are missing or refuse. */
import Fastify from 'fastify';
import { expect, it } from 'vitest';
import { Refusal } from '../../src/errors.js';
import { answerAcross } from '../../src/http/across.js';
import type { HttpDeps } from '../../src/http/deps.js';
import { failureHandler } from '../../src/http/failures.js';
import type { Answers, Peers } from '../../src/http/peers.js';

const notFound = () => new Refusal('not_found', 'Nobody has this.');

async function ask(others: Answers, refusal: Refusal | null, isOfAll?: true) {
  const peers = {
    slot: 0,
    count: 1 + others.answers.length + others.missing.length,
    ask: async () => others,
    askUntilDone: async () => [],
    isPeer: () => false,
    ownedRooms: () => 0,
  } satisfies Peers;
  const app = Fastify();
  app.setErrorHandler(failureHandler({ observer: { refused() {} } } as unknown as HttpDeps));
  answerAcross(app, peers);
  const across = { merge: () => null, isEmpty: true as const, ...(isOfAll && { isOfAll }) };
  app.delete('/it', { config: { across } }, async (_, reply) => {
    if (refusal !== null) throw refusal;
    reply.code(204);
    return null;
  });
  const { statusCode, body } = await app.inject({ method: 'DELETE', url: '/it' });
  return [statusCode, body === '' ? null : JSON.parse(body)];
}

const done = (slot: number) => ({ slot, status: 204, body: null });
const refused = (slot: number, status = 404) => ({ slot, status, body: {} });
const unavailable = (message: string) => [503, { code: 'worker_unavailable', message }];

it('succeeds if any worker succeeds, where one is enough', async () => {
  expect(await ask({ answers: [done(1)], missing: [2] }, notFound())).toEqual([204, null]);
});

it('is not_found if all workers answer not_found, and unavailable if one is missing', async () => {
  const nobody = { answers: [refused(1), refused(2)], missing: [] };
  expect(await ask(nobody, notFound())).toMatchObject([404, { code: 'not_found' }]);
  expect(await ask({ answers: [refused(1)], missing: [2] }, notFound())).toEqual(
    unavailable('Worker 2 did not answer in time, or refused: try again.'),
  );
});

it('succeeds only if every worker succeeds, where all must', async () => {
  expect(await ask({ answers: [done(1), done(2)], missing: [] }, null, true)).toEqual([204, null]);
  expect(await ask({ answers: [done(1)], missing: [2] }, null, true)).toEqual(
    unavailable('Worker 2 did not answer in time, or refused: the others have done it; try again.'),
  );
  expect(await ask({ answers: [refused(1, 503)], missing: [2] }, null, true)).toEqual(
    unavailable(
      'Workers 1, 2 did not answer in time, or refused: the others have done it; try again.',
    ),
  );
  // A worker with nothing to act on counts as done.
  expect(await ask({ answers: [refused(1)], missing: [] }, null, true)).toEqual([204, null]);
  // If no worker succeeded, the asked worker's own refusal is the answer.
  const wrong = new Refusal('bad_command', 'It is wrong.');
  expect(await ask({ answers: [refused(1, 400)], missing: [2] }, wrong, true)).toEqual([
    400,
    { code: 'bad_command', message: 'It is wrong.' },
  ]);
});
