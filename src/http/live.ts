/**
 * `GET /v1/live`: what happens in the server, second by second, for the live page. A stream of
 * server-sent events, of the shapes in `page/frame.ts`.
 *
 * Keeps V3 for viewers too: there are at most `MAX_VIEWERS`, a viewer that has not taken the last
 * second is passed over, and one that takes nothing for long is let go. One text serves them all.
 *
 * Not here: the numbers (`sampler.ts`), the page (`page.ts`).
 */
import type { ServerResponse } from 'node:http';
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { Refusal } from '../errors.js';
import type { Hello, Second } from '../page/frame.js';
import { nowMs } from '../time.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';
import { memberInfo } from './members.js';
import { roomInfo } from './rooms.js';
import { OWN_LOCKS, type Sample } from './sampler.js';
import { top } from './top.js';

const MAX_VIEWERS = 16;
/** A viewer that takes nothing for this long is let go, in milliseconds. */
const STALLED_MS = 30_000;
const MEMBERS = 20;
const ROOMS = 10;

export function live(deps: HttpDeps): FastifyPluginCallbackTypebox {
  const { config, hub, sampler, version } = deps;
  return (app, _options, done) => {
    const viewers = new Set<Viewer>();
    sampler.onSample = (sample) => {
      if (viewers.size === 0) return;
      const text = event('second', secondOf(sample));
      for (const viewer of viewers) viewer.offer(text, sample.at);
    };

    function secondOf(sample: Sample): Second {
      const now = nowMs();
      const behind = top(hub.members.values(), (member) => member.lagMs(now), MEMBERS);
      return {
        ...sample,
        members: { total: hub.members.size, list: behind.map((each) => memberInfo(each, now)) },
        rooms: {
          total: hub.rooms.size,
          list: top(hub.rooms.values(), (room) => room.size, ROOMS).map(roomInfo),
        },
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
      (_request, reply) => {
        if (viewers.size >= MAX_VIEWERS) {
          throw new Refusal(
            'too_many_viewers',
            `${viewers.size} live pages are open, as many as may be: close one.`,
          );
        }
        reply.hijack();
        const viewer = new Viewer(reply.raw);
        viewers.add(viewer);
        reply.raw.once('close', () => viewers.delete(viewer));
        reply.raw.writeHead(200, {
          'content-type': 'text/event-stream',
          'cache-control': 'no-store',
          'x-accel-buffering': 'no',
        });
        const hello: Hello = {
          version,
          node: process.version,
          startedAt: Math.round(Date.now() - process.uptime() * 1e3),
          queueLimitBytes: config.queueBytesTotal,
          locks: OWN_LOCKS,
          series: sampler.series,
          past: sampler.past,
        };
        reply.raw.write(event('hello', hello));
      },
    );
    done();
  };
}

class Viewer {
  readonly #response: ServerResponse;
  /** Since when it has not taken what it was sent; 0 where it has. */
  #stalledSince = 0;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  offer(text: string, now: number): void {
    if (this.#response.writableLength === 0) {
      this.#stalledSince = 0;
      this.#response.write(text);
      return;
    }
    this.#stalledSince ||= now;
    if (now - this.#stalledSince >= STALLED_MS) this.#response.destroy();
  }
}

function event(name: string, data: Hello | Second): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
