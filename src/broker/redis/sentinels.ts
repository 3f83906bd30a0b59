/**
 * Asks the Sentinels which server is the primary. All are asked at once, and the majority of those that
 * answer decides: a Sentinel that is isolated reports an outdated primary.
 *
 * V20: the answer is a hint, not a proof: the link itself checks that it has reached a primary, and in
 * which term (`link.ts`). V8: each query has a deadline and a signal.
 *
 * Not here: when they are asked (`redis.ts`).
 */
import type { RedisPlace, Sentinel } from '../../options/redis-url.js';
import { clearTimeout, setTimeout } from '../../time.js';
import { connection, Misconfigured } from './link.js';

/** Errors of a Sentinel that requires authentication. */
const WHO = /^(NOAUTH|ERR operation not permitted)/i;

/** Answer of one Sentinel; null if it does not know the name. */
type Said = string | null;

/**
 * The URL of the primary, and whether more than half of all Sentinels agree on it.
 *
 * @throws Misconfigured if they know no primary of this name, Error if none answers
 */
export async function askSentinels(
  place: RedisPlace,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<{ url: string; isAgreed: boolean }> {
  const { sentinels, name } = place;
  const limit = { timeoutMs, signal };
  const answers = await Promise.allSettled(sentinels.map((each) => ask(place, each, limit)));
  const votes = new Map<Said, number>();
  const causes: string[] = [];
  for (const [i, answer] of answers.entries()) {
    if (answer.status === 'fulfilled') {
      votes.set(answer.value, (votes.get(answer.value) ?? 0) + 1);
    } else {
      const { host, port } = sentinels[i] as Sentinel;
      causes.push(`${host}:${port}: ${(answer.reason as Error).message}`);
    }
  }
  if (votes.size === 0) throw new Error(`no Sentinel answers (${causes.join('; ')})`);
  const known = [...votes].filter((vote): vote is [string, number] => vote[0] !== null);
  if (known.length === 0) throw new Misconfigured(`the Sentinels know no primary called ${name}`);
  const [url, count] = known.reduce((most, each) => (each[1] > most[1] ? each : most));
  return { url, isAgreed: count * 2 > sentinels.length };
}

interface Limit {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

async function ask(place: RedisPlace, { host, port }: Sentinel, limit: Limit): Promise<Said> {
  const url = place.urlOf(host, port);
  const isSecured = url.startsWith('rediss:');
  try {
    return await askAt(place, `${isSecured ? 'rediss' : 'redis'}://${host}:${port}`, limit);
  } catch (error) {
    // Most Sentinels have no password, and refuse one in that case.
    if (!WHO.test((error as Error).message)) throw error;
    return askAt(place, url, limit);
  }
}

async function askAt(place: RedisPlace, url: string, limit: Limit): Promise<Said> {
  const { timeoutMs, signal } = limit;
  const client = connection({ url }, timeoutMs);
  let failed: (error: Error) => void = () => {};
  const failure = new Promise<never>((_, reject) => {
    failed = reject;
  });
  client.on('error', (error: Error) => failed(error));
  const timer = setTimeout(() => failed(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  const giveUp = () => failed(signal.reason as Error);
  signal.addEventListener('abort', giveUp, { once: true });
  const question = async (): Promise<Said> => {
    await client.connect();
    const command = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', place.name];
    const address = await client.sendCommand<readonly [string, string] | null>(command);
    return address === null ? null : place.urlOf(...address);
  };
  try {
    return await Promise.race([question(), failure]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
    if (client.isOpen) client.destroy();
  }
}
