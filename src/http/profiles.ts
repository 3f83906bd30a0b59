/**
 * Takes CPU and heap profiles of the running process, for developer tools. Only on the internal port and
 * one at a time, since profiling costs a few per cent.
 *
 * Not here: heap snapshots, which would block the process for seconds.
 */
import type { IncomingMessage } from 'node:http';
import type { Session } from 'node:inspector/promises';
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { REFUSAL, Refusal } from '../errors.js';
import { sleep } from '../sleep.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';

/** How a kind of profile is started, stopped and read. */
interface Kind {
  readonly summary: string;
  readonly file: string;
  begin(session: Session): Promise<unknown>;
  end(session: Session): Promise<{ profile: unknown }>;
}

const KINDS = {
  cpu: {
    summary: 'Take a CPU profile of the next seconds, as a .cpuprofile',
    file: 'roomcast.cpuprofile',
    async begin(session) {
      await session.post('Profiler.enable');
      await session.post('Profiler.start');
    },
    end: (session) => session.post('Profiler.stop'),
  },
  heap: {
    summary: 'Take an allocation profile of the next seconds, as a .heapprofile',
    file: 'roomcast.heapprofile',
    begin: (session) => session.post('HeapProfiler.startSampling'),
    end: (session) => session.post('HeapProfiler.stopSampling'),
  },
} as const satisfies Record<string, Kind>;

export function profiles({ closing, isInternal }: HttpDeps): FastifyPluginCallbackTypebox {
  let isUnderWay = false;

  /**
   * Ends early if the client disconnects or the server begins to close, since a shutdown waits for
   * pending answers.
   */
  async function take(kind: Kind, seconds: number, request: IncomingMessage): Promise<unknown> {
    const { Session } = await import('node:inspector/promises');
    if (!isInternal(request)) {
      throw new Refusal(
        'not_found',
        'Profiles are only on the internal port: set --internal-port.',
      );
    }
    if (isUnderWay) throw new Refusal('server_busy', 'Another profile is running.');
    if (closing.aborted) throw new Refusal('shutting_down', REFUSAL.shutting_down.text);
    isUnderWay = true;
    const gone = new AbortController();
    const leave = () => gone.abort();
    request.socket.once('close', leave);
    const session = new Session();
    try {
      session.connect();
      await kind.begin(session);
      await sleep(seconds * 1000, AbortSignal.any([gone.signal, closing]));
      const { profile } = await kind.end(session);
      return profile;
    } finally {
      session.disconnect();
      request.socket.off('close', leave);
      isUnderWay = false;
    }
  }

  return (app, _options, done) => {
    for (const [name, kind] of Object.entries(KINDS)) {
      app.get(
        `/v1/profiles/${name}`,
        {
          schema: {
            operationId: `take${name === 'cpu' ? 'Cpu' : 'Heap'}Profile`,
            summary: kind.summary,
            description:
              "On the internal port only. Chrome's developer tools and VS Code read it. Ends early if the server begins to close.",
            tags: ['status'],
            querystring: Type.Object(
              {
                seconds: Type.Optional(
                  Type.Integer({
                    default: 10,
                    minimum: 1,
                    maximum: 60,
                    description: 'Duration in seconds.',
                  }),
                ),
              },
              { additionalProperties: false },
            ),
            response: {
              200: Type.Unknown({ description: 'The profile.' }),
              ...failures('bad_command', 'not_found', 'server_busy', 'shutting_down'),
            },
          },
        },
        async ({ query: { seconds = 10 }, raw }, reply) => {
          const profile = await take(kind, seconds, raw);
          reply.header('content-disposition', `attachment; filename="${kind.file}"`);
          reply.type('application/json');
          return JSON.stringify(profile);
        },
      );
    }
    done();
  };
}
