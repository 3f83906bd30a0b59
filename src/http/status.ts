/** Routes for monitoring: liveness, readiness and metrics. */
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { REFUSAL, Refusal } from '../errors.js';
import { setImmediate } from '../time.js';
import type { HttpDeps } from './deps.js';
import { failures } from './failures.js';

const Status = Type.Object({ status: Type.String() }, { description: 'Yes.' });

export function status({
  auth,
  config,
  hub,
  closing,
  metrics,
}: HttpDeps): FastifyPluginCallbackTypebox {
  /** The scrape of this turn of the event loop, shared by all requests in it. */
  let shared: Promise<string> | null = null;
  function scrape(): Promise<string> {
    if (shared !== null) return shared;
    setImmediate(() => {
      shared = null;
    });
    shared = metrics.scrape();
    return shared;
  }

  return (app, _options, done) => {
    app.get(
      '/healthz',
      {
        schema: {
          operationId: 'isAlive',
          summary: 'Check that the process answers',
          tags: ['status'],
          response: { 200: Status },
        },
      },
      () => ({ status: 'alive' }),
    );

    app.get(
      '/readyz',
      {
        schema: {
          operationId: 'isReady',
          summary:
            'Check that the server can take traffic. It cannot before it can verify tokens, while it cannot reach the broker or is more than 1 s behind it, and once a shutdown has begun',
          tags: ['status'],
          response: {
            200: Status,
            ...failures('shutting_down', 'keys_unavailable', 'broker_unavailable'),
          },
        },
      },
      () => {
        if (closing.aborted) throw new Refusal('shutting_down', REFUSAL.shutting_down.text);
        if (!auth.isReady) throw new Refusal('keys_unavailable', REFUSAL.keys_unavailable.text);
        if (hub.brokerState !== 'up') {
          throw new Refusal('broker_unavailable', 'The broker cannot be reached.');
        }
        if (hub.isLagging) {
          throw new Refusal('broker_unavailable', 'This node is too far behind the broker.');
        }
        return { status: 'ready' };
      },
    );

    if (config.metrics) {
      app.get(
        '/metrics',
        {
          schema: {
            operationId: 'getMetrics',
            summary: 'Metrics in the text format of Prometheus',
            tags: ['status'],
            produces: ['text/plain'],
            response: { 200: Type.String({ description: 'All metrics.' }) },
          },
        },
        (_request, reply) => {
          reply.type(metrics.contentType);
          return scrape();
        },
      );
    }
    done();
  };
}
