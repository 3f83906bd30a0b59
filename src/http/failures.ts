/**
 * Maps every failure of a request to `{ code, message }` with a code of `REFUSAL`, including Fastify's
 * own errors, and describes that shape for the OpenAPI document.
 */
import type {
  FastifyError,
  FastifyReply,
  FastifyRequest,
  FastifySchemaValidationError,
} from 'fastify';
import { type TSchema, Type } from 'typebox';
import { errorFields } from '../app-error.js';
import { REFUSAL, Refusal, type RefusalCode } from '../errors.js';
import type { HttpDeps } from './deps.js';

const READ_PAST_BYTES = 65_536;

const failure = (codes: readonly RefusalCode[]) =>
  Type.Object({
    code: Type.Enum([...codes], { description: 'For programs.' }),
    message: Type.String({ description: 'For people: what is wrong, and what would be right.' }),
  });

/** Any failure, as one of the results of a batch. */
export const Failure = failure(Object.keys(REFUSAL) as RefusalCode[]);

/** The failure responses of a route by status, for the codes it may refuse with. */
export function failures(...codes: RefusalCode[]): Record<string, TSchema> {
  const byStatus: Record<string, RefusalCode[]> = {};
  for (const code of [...codes, 'internal_error'] as const) {
    const { status } = REFUSAL[code];
    byStatus[status] = [...(byStatus[status] ?? []), code];
  }
  const responses: Record<string, TSchema> = {};
  for (const [status, codes] of Object.entries(byStatus)) {
    const description = codes.map((code) => `\`${code}\`: ${REFUSAL[code].text}`).join(' ');
    responses[status] = { ...failure(codes), description };
  }
  return responses;
}

/** Answers an error with its code and counts it. */
export function failureHandler({ log, observer }: HttpDeps) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    let refusal = refusalOf(error, request);
    if (refusal === null) {
      log.error(errorFields(error), 'internal_error');
      refusal = new Refusal('internal_error', REFUSAL.internal_error.text);
    }
    const { code, message } = refusal;
    observer.refused(code);
    if (code === 'unauthorised') reply.header('www-authenticate', 'Bearer');
    if (code === 'too_slow' || isLongUnread(request)) reply.header('connection', 'close');
    reply.code(REFUSAL[code].status).send({ code, message });
  };
}

/** Whether so much of the body is unread that closing the connection is cheaper than reading past it. */
function isLongUnread({ raw: { complete, headers } }: FastifyRequest): boolean {
  if (complete) return false;
  const { 'content-length': length = 0, 'transfer-encoding': coding } = headers;
  return coding !== undefined || Number(length) > READ_PAST_BYTES;
}

export function refuseUnknown({ method, url }: FastifyRequest): never {
  const path = url.split('?', 1)[0] ?? '';
  throw new Refusal('not_found', `There is no ${method} ${path.slice(0, 100)}.`);
}

export function refuseMethod({ method }: FastifyRequest, allowed: readonly string[]): never {
  throw new Refusal('method_not_allowed', `${method} is not allowed; use ${allowed.join(', ')}.`);
}

/** The refusal for an error; null for an internal error. */
function refusalOf(error: unknown, request: FastifyRequest): Refusal | null {
  if (error instanceof Refusal) return error;
  if (!(error instanceof Error) || !('statusCode' in error)) return null;
  const { code, statusCode, validation, message } = error as FastifyError;
  if (validation !== undefined) return unfit(validation, request);
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new Refusal('bad_json', 'Send the body as application/json.');
  }
  if (code === 'FST_ERR_BAD_URL' || code === 'FST_ERR_MAX_PARAM_LENGTH') {
    return new Refusal('bad_command', 'The path is too long, or not percent-encoded UTF-8.');
  }
  // A missing file of the reference page, or an aborted body.
  if (statusCode === 403 || statusCode === 404) return new Refusal('not_found', `${message}.`);
  const isTheirs = statusCode !== undefined && statusCode >= 400 && statusCode < 500;
  return isTheirs ? new Refusal('bad_command', `${message}.`) : null;
}

/** The refusal that names the invalid query parameter. */
function unfit(validation: FastifySchemaValidationError[], { query }: FastifyRequest): Refusal {
  const { keyword, instancePath, params, message } = validation.at(-1)!;
  if (keyword === 'additionalProperties') {
    const unknown = params['additionalProperties'] as string[];
    return new Refusal('bad_command', `There is no parameter ${unknown.join(', ').slice(0, 100)}.`);
  }
  const name = instancePath.slice(1);
  const value = JSON.stringify((query as Record<string, unknown>)[name]).slice(0, 100);
  const allowed = params['allowedValues'] as string[] | undefined;
  const right = allowed ? `it must be one of ${allowed.join(', ')}` : `it ${message}`;
  return new Refusal('bad_command', `${name} is ${value}; ${right}.`);
}
