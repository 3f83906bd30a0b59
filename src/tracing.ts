/**
 * Traces of publish → deliver, for OpenTelemetry: a `publish` span for each message, and a `deliver` span
 * for each flush of a room that contains sampled messages, on every node with members of the room. The
 * app's SDK records and exports the spans; without an SDK the API does nothing.
 *
 * This module keeps no state: a message carries the `traceparent` of its span, also through the broker.
 * V12: a tracer that throws stops no message.
 *
 * Not here: the start and end of a flush (`room/room.ts`). Only this file imports the library, and only
 * with the option `tracing`.
 */
import { createRequire } from 'node:module';
import type * as Library from '@opentelemetry/api';
import type { Position } from './broker/broker.js';
import { ConfigError, Refusal } from './errors.js';
import type { Delivered, Trace } from './room/trace.js';
import { survive } from './survived.js';
import { isThenable } from './thenable.js';
import { version } from './version.js';

/** @throws ConfigError if the library is not installed */
export function openTracing(): Trace {
  const { SpanKind, SpanStatusCode, context, propagation, trace } = library();
  const tracer = trace.getTracer('roomcast', version);

  const attributesOf = (room: string, operation: string): Library.Attributes => ({
    'messaging.system': 'roomcast',
    'messaging.operation.name': operation,
    'messaging.destination.name': room,
  });

  function failed(span: Library.Span, error: unknown): void {
    const code = error instanceof Refusal ? error.code : '_OTHER';
    const message = error instanceof Error ? error.message : String(error);
    span.setAttribute('error.type', code).setStatus({ code: SpanStatusCode.ERROR, message });
    span.end();
  }

  function published(span: Library.Span, { seq, epoch }: Position): void {
    span.setAttributes({ 'roomcast.seq': seq, 'roomcast.epoch': epoch }).end();
  }

  return {
    publish(room, headers, send) {
      const span = guarded(() => {
        const active = context.active();
        const isFromRequest = headers !== undefined && trace.getSpan(active) === undefined;
        return tracer.startSpan(
          'publish',
          { kind: SpanKind.PRODUCER, attributes: attributesOf(room, 'publish') },
          isFromRequest ? propagation.extract(active, headers) : active,
        );
      });
      if (span === undefined) return send(undefined);
      const fail = (error: unknown) => {
        guarded(() => failed(span, error));
        throw error;
      };
      const end = (position: Position) => {
        guarded(() => published(span, position));
        return position;
      };
      let answer: ReturnType<typeof send>;
      try {
        answer = send(guarded(() => traceparentOf(span)));
      } catch (error) {
        return fail(error);
      }
      return isThenable(answer) ? Promise.resolve(answer).then(end, fail) : end(answer);
    },

    deliver(room, traceparents, messages, members): Delivered {
      const span = guarded(() => {
        const contexts = traceparents.flatMap((text) => spanContextOf(text) ?? []);
        const [first] = contexts;
        if (first === undefined) return undefined;
        // Child of the first span, so that it inherits the sampling decision.
        return tracer.startSpan(
          'deliver',
          {
            kind: SpanKind.CONSUMER,
            attributes: {
              ...attributesOf(room, 'deliver'),
              'messaging.batch.message_count': messages,
              'roomcast.members': members,
            },
            links: contexts.map((each) => ({ context: each })),
          },
          trace.setSpanContext(context.active(), first),
        );
      });
      return () => void guarded(() => span?.end());
    },
  };
}

function guarded<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    survive(error);
    return undefined;
  }
}

const SAMPLED = 1;
/** W3C Trace Context, version 00, sampled. */
const TRACEPARENT = /^00-([\da-f]{32})-([\da-f]{16})-01$/;

/** Undefined if the span is not sampled. */
function traceparentOf(span: Library.Span): string | undefined {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return traceFlags & SAMPLED ? `00-${traceId}-${spanId}-01` : undefined;
}

function spanContextOf(text: string): Library.SpanContext | undefined {
  const [, traceId, spanId] = TRACEPARENT.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  return { traceId, spanId, traceFlags: SAMPLED, isRemote: true };
}

function library(): typeof Library {
  try {
    return createRequire(import.meta.url)('@opentelemetry/api') as typeof Library;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    const allowed = 'false, or run: npm install @opentelemetry/api';
    throw new ConfigError(
      `tracing true is not allowed: @opentelemetry/api is not installed; give ${allowed}`,
      { code: 'bad_option', option: 'tracing', value: true, allowed },
    );
  }
}
