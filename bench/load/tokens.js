import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { MARKER } from './frames.js';

/**
 * Tokens of the load, and the keys of the servers that accept them. Made with Node alone, and one for all
 * members where that makes no difference: a server caches no checked token.
 */

/** Used only here; protects nothing. */
export const SECRET = 'the-secret-of-the-bench-of-40-characters';
/** The number that identifies an awaited answer: in the user of a token, or in the room. */
export const KNOWN = 99_999_999;
export const KNOWN_USER = `${MARKER}${KNOWN}`;

/** @param {object} part */
const coded = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');

/** Valid for an hour; grants everything. @param {string} alg @param {string} user */
function unsigned(alg, user) {
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const rooms = { '*': ['join', 'publish', 'history', 'presence'] };
  return `${coded({ alg })}.${coded({ sub: user, exp, rooms })}`;
}

/** @param {string} user */
export function hs256(user) {
  const text = unsigned('HS256', user);
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

/** Generates a key: returns a function that signs tokens with it, and the PEM of its public half. */
export function rs256() {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    pem: String(publicKey.export({ type: 'spki', format: 'pem' })),
    /** @param {string} user */
    token(user) {
      const text = unsigned('RS256', user);
      return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
    },
  };
}
