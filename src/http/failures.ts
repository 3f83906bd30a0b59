/**
 * Whatever goes wrong with a request becomes `{ code, message }` with a code of `REFUSAL`: its
 * shape in the OpenAPI document, and the way there from the errors of Fastify.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type TSchema, Type } from 'typebox';
import { REFUSAL, Refusal, type RefusalCode } from '../errors.js';
import type { HttpDeps } from './deps.js';

const failure = (codes: readonly RefusalCode[]) =>
  Type.Object({
    code: Type.Enum([...codes], { description: 'What to look at in a program.' }),
    message: Type.String({ description: 'What was wrong, and what would be right.' }),
  });

/** A failure of any kind, as one of the results of a batch. */
export const Failure = failure(Object.keys(REFUSAL) as RefusalCode[]);

/** The responses of a route that may be refused with these codes, by status. */
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

/** Answers any error with a code, and counts it. */
export function failureHandler({ log, observer }: HttpDeps) {
  return (error: unknown, _request: FastifyRequest, reply: FastifyReply): void => {
    let refusal = refusalOf(error);
    if (refusal === null) {
      log.error({ err: error }, 'internal_error');
      refusal = new Refusal('internal_error', REFUSAL.internal_error.text);
    }
    const { code, message } = refusal;
    observer.refused(code);
    if (code === 'unauthorised') reply.header('www-authenticate', 'Bearer');
    reply.code(REFUSAL[code].status).send({ code, message });
  };
}

export function refuseUnknown({ method, url }: FastifyRequest): never {
  const path = url.split('?', 1)[0] ?? '';
  throw new Refusal('not_found', `There is no ${method} ${path.slice(0, 100)}.`);
}

/** The refusal that an error amounts to, or null for a mistake of ours. */
function refusalOf(error: unknown): Refusal | null {
  if (error instanceof Refusal) return error;
  if (!(error instanceof Error) || !('code' in error)) return null;
  switch (error.code) {
    case 'FST_ERR_VALIDATION':
      return new Refusal('bad_command', `${error.message}.`);
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new Refusal('message_too_big', 'The body is larger than --max-http-body-bytes.');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new Refusal('bad_json', 'Send the body as application/json.');
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new Refusal('bad_command', 'The path is too long, or not percent-encoded UTF-8.');
    default:
      // The rest of what Fastify blames on the client: a body that breaks off, or has another length.
      return 'statusCode' in error && error.statusCode === 400
        ? new Refusal('bad_json', `${error.message}.`)
        : null;
  }
}
