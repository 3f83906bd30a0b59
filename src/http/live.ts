/**
 * `GET /v1/live`: what happens in the server, second by second, for the live page. A stream of
 * server-sent events, of the shapes in `page/frame.ts`.
 *
 * Keeps V3 for viewers too: there are at most `MAX_VIEWERS`, a viewer that has not taken the last
 * second is passed over, and one that takes nothing for long is let go. One text serves them all.
 *
 * Whether a viewer still reads cannot be seen for minutes: the kernel takes what it is sent. So when
 * all places are taken, a newcomer gets that of the viewer that has had its own for longest, from the
 * address with the most of them. A page that is still there asks again.
 *
 * Not here: the numbers (`sampler.ts`), the page (`page.ts`).
 */
import type { ServerResponse } from 'node:http';
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { Refusal } from '../errors.js';
import { roomInfo } from '../info.js';
import { trustedProxies } from '../options/config.js';
import type { Hello, Second } from '../page/frame.js';
import { nowMs } from '../time.js';
import { addressOf, networkOf } from '../transport/address.js';
import { resetSocket } from '../transport/reset-socket.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';
import { MEMBERS, pastOfAll, ROOMS, secondOfAll } from './live-of-all.js';
import { memberInfo } from './members.js';
import { OWN_LOCKS, type Sample } from './sampler.js';
import { serversOf } from './servers.js';
import { top } from './top.js';

const MAX_VIEWERS = 16;
/**
 * Milliseconds after which a viewer that takes nothing is let go, and after which one that seems to
 * read has to ask again if its place is wanted.
 */
const STALLED_MS = 30_000;

export function live(deps: HttpDeps): FastifyPluginCallbackTypebox {
  const { auth, config, historyLimitBytes, hub, nodes, peers, sampler, streaming, version } = deps;
  const proxies = trustedProxies(config);
  return (app, _options, done) => {
    const { series } = sampler;
    const viewers = new Viewers();
    sampler.onSample = (sample) => {
      if (viewers.size === 0) return;
      void lookForServers();
      const own = secondOf(sample);
      const tell = (second: Second) => viewers.offer(event('second', second), sample.at);
      if (peers === null) tell(own);
      else {
        askAll<Second>('second').then(({ bodies, missing }) =>
          tell(secondOfAll(series, [own, ...bodies], missing)),
        );
      }
    };

    let servers: Second['servers'] = [];
    /** For the next second. */
    async function lookForServers(): Promise<void> {
      if (nodes === null) return;
      try {
        servers = serversOf(await nodes());
      } catch {
        servers = null;
      }
    }

    /** What the other workers answer of themselves, and who does not in time. */
    async function askAll<What>(what: 'second' | 'past') {
      const asked = await peers?.ask({ method: 'GET', url: ofOne(what) });
      const { answers, missing } = asked ?? { answers: [], missing: [] };
      return {
        bodies: answers.flatMap(({ status, body }) => (status === 200 ? [body as What] : [])),
        missing: [...missing, ...answers.flatMap((each) => (each.status === 200 ? [] : each.slot))],
      };
    }

    function secondOf(sample: Sample): Second {
      const now = nowMs();
      const rooms = peers?.ownedRooms() ?? hub.rooms.size;
      const behind = top(hub.members.values(), (member) => member.lagMs(now), MEMBERS);
      return {
        ...sample,
        broker: hub.brokerState,
        members: { total: hub.members.size, list: behind.map((each) => memberInfo(each, now)) },
        rooms: {
          total: rooms,
          list: top(hub.rooms.values(), (room) => room.size, ROOMS).map(roomInfo),
        },
        workers: [
          {
            ...{ slot: peers?.slot ?? 0, pid: process.pid },
            ...{ members: hub.members.size, rooms, broker: hub.brokerState },
          },
        ],
        servers,
      };
    }

    app.get(
      '/v1/live',
      {
        exposeHeadRoute: false,
        schema: {
          operationId: 'watch',
          summary: 'What happens, second by second',
          description:
            'Server-sent events for the live page: `hello` with the last 15 minutes, then `second` every second. A reader that falls behind misses seconds.',
          tags: ['status'],
          response: {
            200: {
              description: 'The events.',
              content: { 'text/event-stream': { schema: Type.String() } },
            },
            ...failures('too_many_viewers'),
          },
        },
      },
      async ({ raw: request }, reply) => {
        const { bodies: others } = await askAll<Sample[]>('past');
        const response = reply.raw;
        // Behind another answer on its connection nobody would be told that it is gone.
        if (response.socket === null || response.destroyed) {
          throw new Refusal('bad_command', 'Wait for the answers before it on this connection.');
        }
        const network = networkOf(addressOf(request, proxies));
        if (!viewers.makePlaceFor(network)) {
          throw new Refusal(
            'too_many_viewers',
            `${viewers.size} live pages are open, as many as may be: close one.`,
          );
        }
        reply.hijack();
        viewers.add(response, network);
        streaming(request, response);
        reply.raw.writeHead(200, {
          'content-type': 'text/event-stream',
          'cache-control': 'no-store',
          'x-accel-buffering': 'no',
        });
        const hello: Hello = {
          version,
          node: process.version,
          startedAt: Math.round(Date.now() - process.uptime() * 1e3),
          queueLimitBytes: config.queueBytesTotal * (peers?.count ?? 1),
          historyLimitBytes: historyLimitBytes * (peers?.count ?? 1),
          has: {
            users: auth.mode !== 'off',
            presence: hub.presence.isOn,
            history: hub.archive.keepsAny,
            network: config.broker !== 'memory',
          },
          locks: OWN_LOCKS,
          series,
          past: others.length === 0 ? sampler.past : pastOfAll(series, sampler.past, others),
        };
        reply.raw.write(event('hello', hello));
      },
    );

    if (peers !== null) {
      const answers = {
        second: () => secondOf(sampler.past.at(-1) ?? NOTHING),
        past: () => sampler.past,
      };
      for (const what of ['second', 'past'] as const) {
        app.get(ofOne(what), { schema: { hide: true } }, ({ raw }) => {
          if (peers.isPeer(raw)) return answers[what]();
          throw new Refusal('not_found', 'This is for other workers.');
        });
      }
    }
    done();
  };
}

/** Where other workers find what is of one alone. */
const ofOne = (what: 'second' | 'past') => `/v1/live/${what}`;

/** Before its first second. */
const NOTHING: Sample = { at: 0, values: [] };

/** In the order in which they came. */
class Viewers {
  readonly #all = new Set<Viewer>();

  get size(): number {
    return this.#all.size;
  }

  /** False when every place is taken by somebody who may keep it. */
  makePlaceFor(network: string): boolean {
    if (this.#all.size < MAX_VIEWERS) return true;
    const loser = this.#loser(network);
    if (loser === undefined) return false;
    this.#all.delete(loser);
    loser.end();
    return true;
  }

  add(response: ServerResponse, network: string): void {
    const viewer = new Viewer(response, network);
    this.#all.add(viewer);
    response.once('close', () => this.#all.delete(viewer));
  }

  offer(text: string, now: number): void {
    for (const viewer of this.#all) viewer.offer(text, now);
  }

  /** From a network with two more places than the newcomer's, else whoever has had one for long. */
  #loser(network: string): Viewer | undefined {
    const places = new Map<string, number>();
    for (const viewer of this.#all) {
      places.set(viewer.network, (places.get(viewer.network) ?? 0) + 1);
    }
    const most = Math.max(...places.values());
    const now = nowMs();
    const hasTooMany = most >= (places.get(network) ?? 0) + 2;
    return [...this.#all].find((viewer) =>
      hasTooMany ? places.get(viewer.network) === most : now - viewer.since >= STALLED_MS,
    );
  }
}

class Viewer {
  readonly since = nowMs();
  readonly #response: ServerResponse;
  /** Since when it has not taken what it was sent; 0 where it has. */
  #stalledSince = 0;

  constructor(
    response: ServerResponse,
    readonly network: string,
  ) {
    this.#response = response;
  }

  offer(text: string, now: number): void {
    if (this.#response.writableLength === 0) {
      this.#stalledSince = 0;
      this.#response.write(text);
      return;
    }
    this.#stalledSince ||= now;
    if (now - this.#stalledSince >= STALLED_MS) this.end();
  }

  /** Frees what the kernel holds for it too. */
  end(): void {
    if (this.#response.socket !== null) resetSocket(this.#response.socket);
  }
}

function event(name: string, data: Hello | Second): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
