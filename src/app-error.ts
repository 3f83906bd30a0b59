/**
 * What is told of an error that may come from the app. Libraries attach the failed request to their errors,
 * with the token in its headers, and no token may appear in a log or in what a peer is sent. So only the
 * known text properties of an error are told, each up to `LONGEST`, with all tokens removed.
 */
import { show } from './protocol/fields.js';
import type { Handshake } from './transport/transport.js';

/** Maximum characters of a text. */
const LONGEST = 4000;

/** Tokens of one connection: the one of its request, and the one it sent, if any. */
export function tokensOf(
  { headers }: Pick<Handshake, 'headers'>,
  sent: string | null = null,
): string[] {
  const ofRequest = headers.authorization?.split(' ').at(-1);
  return [sent, ofRequest].filter((token): token is string => Boolean(token));
}

/** `text` as it may be told: `tokens` are replaced by `(token)`. */
export function withoutTokens(text: string, tokens: readonly string[]): string {
  return tokens.reduce((left, token) => left.replaceAll(token, '(token)'), text).slice(0, LONGEST);
}

/** Log fields for `error`. `tokens` are replaced by `(token)` in every text. */
export function errorFields(error: unknown, tokens: readonly string[] = []): object {
  const without = (value: unknown) =>
    typeof value === 'string' ? withoutTokens(value, tokens) : undefined;
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
