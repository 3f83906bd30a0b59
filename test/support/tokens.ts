/**
 * Tokens for tests, signed with a secret by Node itself, so that one library does not both make and
 * read them.
 */
import { createHmac } from 'node:crypto';
import type { Authenticator } from '../../src/auth/authenticator.js';
import type { Claims } from '../../src/auth/claims.js';

export const SECRET = 'the-secret-of-the-tests-of-40-characters';

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token with these claims, valid for ten minutes unless they say otherwise. */
export function tokenOf(claims: Readonly<Record<string, unknown>>, secret = SECRET): string {
  const exp = Math.floor(Date.now() / 1000) + 600;
  const text = `${part({ alg: 'HS256' })}.${part({ exp, ...claims })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** May do everything. */
export const EVERYTHING = { '*': ['join', 'publish', 'history', 'presence'] } as const;

/** Checks a token as a connection does that began with an empty request. */
export async function checkToken(auth: Authenticator, token: unknown): Promise<Claims> {
  const handshake = { headers: {}, url: '/ws', address: '192.0.2.1' };
  return (await auth.check(token, handshake, new AbortController().signal)) as Claims;
}
