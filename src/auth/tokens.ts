/**
 * A token (JWT) and what it says: the one place where one is checked. Nothing of a token is in what
 * is thrown here but claims that are wrong, cut short.
 *
 * V16: an error that says that a token is wrong is only given where the keys that could have signed it
 * were there.
 *
 * Not here: keys (`keys.ts`, `jwks.ts`), what grants allow (`grants.ts`), when a token is asked for
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

/** Where keys come from. */
export interface Keys {
  /**
   * Those that a token with this hint may be signed with, the likeliest first.
   * @throws Refusal `keys_unavailable` behind them, where there may be one that cannot be had now
   */
  candidates(hint: KeyHint): Iterable<Key> | AsyncIterable<Key>;
}

/** Reserved: a token for one room must not pass for one of everything. */
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
    throw bad('No key that is used here has signed the token.');
  }

  /** @throws Refusal */
  #hintOf(token: unknown): KeyHint {
    const text = checkTokenText(token, this.#config.maxTokenBytes);
    let header: Readonly<Record<string, unknown>>;
    try {
      header = decodeProtectedHeader(text);
    } catch {
      throw bad('The token is no JWT; it has to be three parts of base64url with dots between.');
    }
    const { alg, kid } = header;
    if (typeof alg !== 'string') throw bad(`alg of the token is ${show(alg)}.`);
    if (kid !== undefined && typeof kid !== 'string')
      throw bad(`kid of the token is ${show(kid)}.`);
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
    // JSON has numbers that are not finite here, as 1e999.
    if (!Number.isFinite(exp)) throw bad('exp is no finite number.');
    if (
      iat !== undefined &&
      !(Number.isFinite(iat) && iat * 1000 <= Date.now() + clockToleranceMs)
    ) {
      throw bad('iat lies in the future; the clock of who issues tokens may be ahead.');
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
  if (error instanceof errors.JOSEError) return bad('The token cannot be read.');
  return error;
}

const REASONS: Readonly<Record<string, string>> = {
  missing: 'missing',
  invalid: 'of the wrong type',
  check_failed: 'not one that is taken here',
};
