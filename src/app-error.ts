/**
 * What the log has of an error that may be of the app. Libraries keep the request that failed in their errors, with the
 * token in its headers: no token may be in a log, so that nothing is taken of an error but what is known
 * to be text, and no token is left in that.
 */
import { show } from './protocol/fields.js';
import type { Handshake } from './transport/transport.js';

/** Of one connection: that of its request, and the one that was sent, where there is one. */
export function tokensOf(
  { headers }: Pick<Handshake, 'headers'>,
  sent: string | null = null,
): string[] {
  const ofRequest = headers.authorization?.split(' ').at(-1);
  return [sent, ofRequest].filter((token): token is string => Boolean(token));
}

/** Fields of a line. */
export function errorFields(error: unknown, tokens: readonly string[] = []): object {
  const without = (value: unknown) =>
    typeof value === 'string'
      ? tokens.reduce((text, token) => text.replaceAll(token, '(token)'), value)
      : undefined;
  if (typeof error !== 'object' || error === null) {
    return { why: typeof error === 'string' ? without(error) : show(error) };
  }
  try {
    const { message, code, stack } = error as Record<'message' | 'code' | 'stack', unknown>;
    const number = typeof code === 'number' ? code : undefined;
    return {
      err: { message: without(message), code: without(code) ?? number, stack: without(stack) },
    };
  } catch {
    // A getter or a proxy of the app that throws (V12).
    return { why: 'an error that cannot be read' };
  }
}
