/**
 * Revocations of the others, for a worker that comes anew: it has all of them before anybody can come to it
 * (V15). It listens by then, so that one is either asked for or told to it.
 *
 * Not here: revocations that come later (`http/revocations.ts`).
 */
import type { Revocation } from '../auth/revocations.js';
import type { Answer, Peers } from '../http/peers.js';
import type { People } from '../session/people.js';

/** Resolves once each worker that listens has answered, or has ended: it takes as long as that does. */
export async function takeRevocations(
  peers: Pick<Peers, 'askUntilDone'>,
  people: Pick<People, 'take'>,
): Promise<void> {
  const answers = await peers.askUntilDone({
    method: 'GET',
    url: '/v1/revocations',
    isEverywhere: true,
    insists: (answer) => answer === null || !isWhole(answer),
  });
  for (const { status, body } of answers) {
    if (status === 200) people.take((body as { revocations: Revocation[] }).revocations);
  }
}

/** A worker with other options may have no users: `not_enabled`. */
const isWhole = ({ status }: Answer) => status === 200 || status === 409;
