/**
 * `GET /v1/live`: streams the state of the server every second to the live page, as server-sent events
 * in the shapes of `page/frame.ts`.
 *
 * Keeps V3 for viewers: there are at most `MAX_VIEWERS`, a viewer that has not taken the previous second
 * is skipped, and one that stalls for `STALLED_MS` is disconnected. All viewers share one encoded text.
 *
 * A viewer that has stopped reading is not noticed for minutes, since the kernel buffers what it is
 * sent. So when all places are taken, a new viewer replaces the oldest one of the address that has the
 * most. A page that is still open reconnects.
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
 * Milliseconds after which a viewer that takes nothing is disconnected, and after which a newcomer may
 * replace one that seems to read.
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
    /** Refreshes `servers` for the next second. */
    async function lookForServers(): Promise<void> {
      if (nodes === null) return;
      try {
        servers = serversOf(await nodes());
      } catch {
        servers = null;
      }
    }

    /** Asks the other workers for their own data. Returns their answers and the slots without one. */
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
          summary: 'Watch the server, second by second',
          description:
            'Server-sent events for the live page: `hello` with the last 15 minutes, then `second` every second. A slow reader misses seconds.',
          tags: ['status'],
          response: {
            200: {
              description: 'The stream of events.',
              content: { 'text/event-stream': { schema: Type.String() } },
            },
            ...failures('too_many_viewers'),
          },
        },
      },
      async ({ raw: request }, reply) => {
        const { bodies: others } = await askAll<Sample[]>('past');
        const response = reply.raw;
        // Behind a pipelined answer, the end of this stream would not be noticed.
        if (response.socket === null || response.destroyed) {
          throw new Refusal('bad_command', 'Wait for the earlier answers on this connection.');
        }
        const network = networkOf(addressOf(request, proxies));
        if (!viewers.makePlaceFor(network)) {
          throw new Refusal(
            'too_many_viewers',
            `${viewers.size} live pages are open, the maximum: close one.`,
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
          throw new Refusal('not_found', 'Only other workers may ask for this.');
        });
      }
    }
    done();
  };
}

/** Route that returns the data of one worker to the others. */
const ofOne = (what: 'second' | 'past') => `/v1/live/${what}`;

/** Sent before the sampler's first second. */
const NOTHING: Sample = { at: 0, values: [] };

/** The connected viewers, oldest first. */
class Viewers {
  readonly #all = new Set<Viewer>();

  get size(): number {
    return this.#all.size;
  }

  /** Disconnects a viewer if all places are taken. Returns false if none may be replaced. */
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

  /**
   * The viewer to replace: one of the network with the most places, if that has at least two more than
   * the newcomer's; otherwise one that has been connected for `STALLED_MS`.
   */
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
  /** When it stopped taking data; 0 while it keeps up. */
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

  /** Resets the connection, to free the kernel's send buffer too. */
  end(): void {
    if (this.#response.socket !== null) resetSocket(this.#response.socket);
  }
}

function event(name: string, data: Hello | Second): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
