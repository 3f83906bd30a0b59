/**
 * Verifies a token (JWT) and reads its claims: the only place that does. Error messages contain nothing of
 * a token except wrong claims, truncated.
 *
 * V16: a token is only called wrong if all keys that could have signed it were available.
 *
 * Not here: keys (`keys.ts`, `jwks.ts`), the meaning of grants (`grants.ts`), when a token is required
 * (`session/identity.ts`).
 */
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose';
import { Refusal } from '../errors.js';
import type { Config } from '../options/config.js';
import { show } from '../protocol/fields.js';
import { type Claims, infoOf } from './claims.js';
import { Grants } from './grants.js';
import type { Key, KeyHint } from './keys.js';
import { isName, notAName } from './names.js';
import { checkTokenText } from './token-text.js';

/** A source of keys. */
export interface Keys {
  /**
   * The keys that a token with this hint may be signed with, the likeliest first.
   * @throws Refusal `keys_unavailable` after the last one, if a further key may exist but cannot be fetched
   */
  candidates(hint: KeyHint): Iterable<Key> | AsyncIterable<Key>;
}

/** Reserved: a token for one room must not be accepted as one for all rooms. */
const ROOM_CLAIM = 'room';

export class Tokens {
  readonly #keys: Keys;
  readonly #config: Config;

  constructor(keys: Keys, config: Config) {
    this.#keys = keys;
    this.#config = config;
  }

  /**
   * @throws Refusal `token_invalid`, `token_expired`, `token_too_big`, `keys_unavailable`, as a rejection
   */
  async verify(token: unknown): Promise<Claims> {
    const hint = this.#hintOf(token);
    const { tokenIssuer: issuer, tokenAudience: audience } = this.#config;
    const toleranceSeconds = this.#config.clockToleranceMs / 1000;
    for await (const key of this.#keys.candidates(hint)) {
      try {
        const { payload } = await jwtVerify(token as string, await key.for(hint.alg), {
          algorithms: [hint.alg],
          clockTolerance: toleranceSeconds,
          requiredClaims: ['exp'],
          ...(issuer.length > 0 && { issuer: [...issuer] }),
          ...(audience.length > 0 && { audience: [...audience] }),
        });
        return this.#claimsOf(payload);
      } catch (error) {
        // Another key may have signed it.
        if (error instanceof errors.JWSSignatureVerificationFailed) continue;
        throw refusalOf(error);
      }
    }
    throw bad('The token is not signed with a key of this server.');
  }

  /** @throws Refusal */
  #hintOf(token: unknown): KeyHint {
    const text = checkTokenText(token, this.#config.maxTokenBytes);
    let header: Readonly<Record<string, unknown>>;
    try {
      header = decodeProtectedHeader(text);
    } catch {
      throw bad('The token is not a JWT; it must be three base64url parts separated by dots.');
    }
    const { alg, kid } = header;
    if (typeof alg !== 'string') {
      throw bad(`alg of the token is ${show(alg)}; it must be a string.`);
    }
    if (kid !== undefined && typeof kid !== 'string') {
      throw bad(`kid of the token is ${show(kid)}; it must be a string.`);
    }
    return { alg, kid };
  }

  /** @throws Refusal */
  #claimsOf(payload: JWTPayload): Claims {
    const { tokenUserClaim, tokenRoomsClaim, clockToleranceMs, maxInfoBytes } = this.#config;
    const claim = (name: string): unknown =>
      Object.hasOwn(payload, name) ? payload[name] : undefined;
    if (claim(ROOM_CLAIM) !== undefined) {
      throw bad(`The claim ${ROOM_CLAIM} is reserved; give rooms in ${tokenRoomsClaim}.`);
    }
    const { exp, iat } = payload;
    // JSON allows numbers that overflow to Infinity, such as 1e999.
    if (!Number.isFinite(exp)) throw bad('exp is not a finite number.');
    if (
      iat !== undefined &&
      !(Number.isFinite(iat) && iat * 1000 <= Date.now() + clockToleranceMs)
    ) {
      throw bad('iat is in the future; the clock of the token issuer may be ahead.');
    }
    const tokenId = claim('jti');
    if (tokenId !== undefined && !isName(tokenId)) {
      throw bad(notAName('jti', tokenId));
    }
    const user = claim(tokenUserClaim);
    if (!isName(user)) {
      throw bad(notAName(tokenUserClaim, user));
    }
    const grants = new Grants(claim(tokenRoomsClaim), tokenRoomsClaim);
    return {
      user,
      expiresAt: (exp as number) * 1000,
      issuedAt: iat === undefined ? null : iat * 1000,
      tokenId: tokenId ?? null,
      info: infoOf(claim('info'), maxInfoBytes),
      may: (action, room) => grants.allow(action, room),
    };
  }
}

const bad = (message: string) => new Refusal('token_invalid', message);

function refusalOf(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) {
    return new Refusal('token_expired', 'The token has expired; send a new one.');
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    return bad(`The claim ${error.claim} of the token is ${REASONS[error.reason] ?? 'wrong'}.`);
  }
  if (error instanceof errors.JOSEError) return bad('The token cannot be parsed.');
  return error;
}

const REASONS: Readonly<Record<string, string>> = {
  missing: 'missing',
  invalid: 'of the wrong type',
  check_failed: 'not accepted here',
};
