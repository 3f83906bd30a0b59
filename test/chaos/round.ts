/**
 * One round of chaos: publishers, members and faults run together for a while. Then all faults are
 * undone, the last messages are awaited, and the logs are checked (`accounting.ts`).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { audit, type MemberLog, type Published } from '../support/accounting.js';
import type { Cluster } from './cluster.js';
import { Crowd } from './crowd.js';
import { extended, Publishers } from './publishers.js';
import type { Random } from './random.js';

/** The same for memory, mesh and Redis; each of three workers owns two of these. */
export const ROOMS = Array.from({ length: 6 }, (_, n) => `chaos:${n}`);
/** How long members may take to receive the last messages; anything missing after that is a fault. */
const SETTLE_MS = 30_000;

export interface Round {
  /** Violations found. */
  readonly faults: readonly string[];
  /** Faults injected, in order. */
  readonly done: readonly { readonly what: string; readonly at: number; readonly ms: number }[];
  readonly counts: Readonly<Record<string, number>>;
  readonly published: readonly Published[];
  readonly members: readonly MemberLog[];
}

export interface RoundOptions {
  readonly cluster: Cluster;
  readonly ms: number;
  readonly random: Random;
  /** Prefix of the payloads of this round. */
  readonly prefix: string;
  /** The payload at each position in earlier rounds. */
  readonly places: Map<string, string>;
}

export async function playRound(options: RoundOptions): Promise<Round> {
  const { cluster, ms, random, prefix, places } = options;
  cluster.begin(random);
  const crowd = new Crowd(cluster, ROOMS, random);
  const publishers = new Publishers(cluster, ROOMS, random, prefix);
  try {
    await crowd.come();
    const began = performance.now();
    const running = [crowd.run(), publishers.run()];
    const done: { what: string; at: number; ms: number }[] = [];
    while (performance.now() < began + ms) {
      await sleep(random.between(200, 1500));
      const fault = random.pick(cluster.faults);
      const at = performance.now();
      await fault.run(random);
      if (performance.now() - at < 1) continue;
      done.push({
        what: fault.name,
        at: Math.round(at - began),
        ms: Math.round(performance.now() - at),
      });
    }
    await cluster.healed().catch((error: Error) => {
      const what = done.map((each) => `${each.what} (at ${each.at} ms)`).join(', ');
      throw new Error(`${error.message}; done before: ${what}`, { cause: error });
    });
    await publishers.end();
    await crowd.end();
    await Promise.all(running);
    const lasts = await publishers.lasts();
    await settled(crowd, lasts);
    const members = crowd.members.flatMap(({ member, url, isRestless, hasBeenAway }) =>
      member.logs.map((log) => ({
        ...log,
        isUndisturbed: !isRestless && !hasBeenAway && cluster.isUndisturbed(url, log.room),
      })),
    );
    const published = extended(publishers.published, cluster);
    const faults = audit(published, members, places);
    return { faults, done, counts: countsOf(published, members), published, members };
  } finally {
    crowd.close();
  }
}

/** Resolves once all members have the last messages of their rooms, or the time is over. */
async function settled(crowd: Crowd, lasts: ReadonlyMap<string, readonly string[]>): Promise<void> {
  const has = ({ told }: MemberLog, payload: string) =>
    told.some((each) => each.type === 'message' && each.payload === payload);
  const all = Promise.all(
    crowd.members.map(({ member }) =>
      member.until(() =>
        member.logs.every((log) => lasts.get(log.room)?.every((payload) => has(log, payload))),
      ),
    ),
  );
  const waiting = new AbortController();
  await Promise.race([all, sleep(SETTLE_MS, undefined, { signal: waiting.signal })]).finally(() =>
    waiting.abort(),
  );
}

function countsOf(published: readonly Published[], members: readonly MemberLog[]) {
  const answered = (is: (answer: Published['answer']) => boolean) =>
    published.filter(({ answer }) => is(answer)).length;
  const told = (type: string) =>
    members.reduce((sum, log) => sum + log.told.filter((each) => each.type === type).length, 0);
  return {
    published: published.length,
    accepted: answered((answer) => typeof answer === 'object'),
    refused: answered((answer) => answer === 'refused'),
    uncertain: answered((answer) => answer === 'uncertain' || answer === 'pending'),
    messages: told('message'),
    gaps: told('gap'),
    resets: told('reset'),
    rejoins: told('rejoined'),
    undisturbed: members.filter(({ isUndisturbed }) => isUndisturbed).length,
  };
}
