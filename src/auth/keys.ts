/**
 * Keys for checking tokens, and the selection of keys for a token. The algorithms follow from the kind of
 * key; the header of a token only selects among them, so that a public key is never used as an HMAC
 * secret.
 *
 * Not here: fetched keys (`jwks.ts`), the check of a token (`tokens.ts`).
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { CryptoKey } from 'jose';
import type { MaybePromise } from '../broker/broker.js';
import { ConfigError } from '../errors.js';
import { show } from '../options/check.js';

/** Header fields of a token that identify its key. */
export interface KeyHint {
  readonly alg: string;
  readonly kid: string | undefined;
}

export interface Key {
  readonly algorithms: readonly string[];
  /** Its key id, if it has one. */
  readonly kid: string | undefined;
  /** Imported once per algorithm. */
  for(alg: string): MaybePromise<CryptoKey | KeyObject>;
}

/** Whether a token with this hint may be signed with the key. */
export const fits = ({ algorithms, kid }: Key, hint: KeyHint): boolean =>
  algorithms.includes(hint.alg) &&
  (kid === undefined || hint.kid === undefined || kid === hint.kid);

/** HMAC algorithms, with the minimum bytes of their keys (RFC 7518, 3.2). */
const HMAC = { HS256: 32, HS384: 48, HS512: 64 } as const;

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const ED25519 = ['EdDSA', 'Ed25519'];
const MIN_RSA_BITS = 2048;
const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
};

/** Whether the algorithm uses public keys. */
export const isOfPublicKey = (alg: string): boolean =>
  RSA.includes(alg) || ED25519.includes(alg) || Object.values(CURVES).includes(alg);

export function secretKey(secret: string): Key {
  const bytes = Buffer.from(secret);
  const imported = new Map<string, Promise<CryptoKey>>();
  return {
    algorithms: Object.entries(HMAC).flatMap(([alg, least]) =>
      bytes.length >= least ? [alg] : [],
    ),
    kid: undefined,
    for(alg) {
      let key = imported.get(alg);
      if (key === undefined) {
        const hash = `SHA-${alg.slice(2)}`;
        key = crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash }, false, ['verify']);
        imported.set(alg, key);
      }
      return key;
    },
  };
}

/** A public key, or the reason why it cannot be used. */
export function publicKey(key: KeyObject, kid?: string, alg?: string): Key | string {
  const known = algorithmsOf(key);
  if (typeof known === 'string') return known;
  const algorithms = alg === undefined ? known : known.filter((each) => each === alg);
  if (algorithms.length === 0) return `a key of this kind cannot be used with ${show(alg)}`;
  return { algorithms, kid, for: () => key };
}

function algorithmsOf({
  asymmetricKeyType: type,
  asymmetricKeyDetails: details,
}: KeyObject): readonly string[] | string {
  if (type === 'ed25519') return ED25519;
  if (type === 'rsa') {
    const bits = details?.modulusLength ?? 0;
    return bits >= MIN_RSA_BITS ? RSA : `it has ${bits} bits; ${MIN_RSA_BITS} are needed`;
  }
  const alg = type === 'ec' ? CURVES[details?.namedCurve ?? ''] : undefined;
  return alg === undefined
    ? 'its kind is not supported: use RSA, P-256, P-384, P-521 or Ed25519'
    : [alg];
}

/** @throws ConfigError */
export function readPublicKey(file: string): Key {
  const refuse = (why: string) => {
    const allowed = 'a PEM file with a public key or a certificate';
    return new ConfigError(`tokenKeyFile ${show(file)} ${why}: give ${allowed}`, {
      code: 'bad_option',
      option: 'tokenKeyFile',
      value: file,
      allowed,
    });
  };
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (error) {
    throw refuse(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  // Node would use its public half, but a private key should not be on this machine.
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) throw refuse('is a private key');
  if ((pem.match(/-----BEGIN /g) ?? []).length > 1) throw refuse('has more than one key');
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw refuse('is not a key');
  }
  const usable = publicKey(key);
  if (typeof usable === 'string') throw refuse(`cannot be used (${usable})`);
  return usable;
}

/** A key of a JWKS, or the reason why it cannot be used. */
export function jwkKey(jwk: unknown): Key | string {
  if (typeof jwk !== 'object' || jwk === null) return 'it is not an object';
  const { kty, use, kid, alg, key_ops: uses } = jwk as Readonly<Record<string, unknown>>;
  if (kty === 'oct') return 'it is a secret, which must not be in a public list';
  if (use !== undefined && use !== 'sig') return `its use is ${show(use)}, not "sig"`;
  if (uses !== undefined && !(Array.isArray(uses) && uses.includes('verify'))) {
    return 'its key_ops do not include verify';
  }
  if (kid !== undefined && typeof kid !== 'string') return 'its kid is not a string';
  if (alg !== undefined && typeof alg !== 'string') return 'its alg is not a string';
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    return 'it is not a public key';
  }
  return publicKey(key, kid, alg);
}
