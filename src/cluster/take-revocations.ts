/**
 * Loads the revocations of the other workers into a new worker, before clients can connect to it (V15).
 * It already listens by then, so a revocation is either in the answers or sent to it.
 *
 * Not here: later revocations (`http/revocations.ts`).
 */
import type { Revocation } from '../auth/revocations.js';
import type { Answer, Peers } from '../http/peers.js';
import type { People } from '../session/people.js';

/** Resolves once each listening worker has answered or ended, however long that takes. */
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

/** A worker with other options may have no users: it answers `not_enabled`. */
const isWhole = ({ status }: Answer) => status === 200 || status === 409;
