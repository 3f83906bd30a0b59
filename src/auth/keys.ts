/**
 * Keys that tokens may be signed with, and which of them a token may be checked by. The algorithms
 * follow from the kind of key: what a token says of itself only chooses among them, so that a public
 * key is never taken for a secret.
 *
 * Not here: keys that are fetched (`jwks.ts`), checking a token (`tokens.ts`).
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { CryptoKey } from 'jose';
import type { MaybePromise } from '../broker/broker.js';
import { ConfigError } from '../errors.js';
import { show } from '../options/check.js';

/** What a token says of the key that it is signed with. */
export interface KeyHint {
  readonly alg: string;
  readonly kid: string | undefined;
}

export interface Key {
  readonly algorithms: readonly string[];
  /** Its name, where it has one. */
  readonly kid: string | undefined;
  /** Imported once for each algorithm. */
  for(alg: string): MaybePromise<CryptoKey | KeyObject>;
}

/** Whether a token with this hint may be signed with it. */
export const fits = ({ algorithms, kid }: Key, hint: KeyHint): boolean =>
  algorithms.includes(hint.alg) &&
  (kid === undefined || hint.kid === undefined || kid === hint.kid);

/** Hashes of HMAC, with the bytes of a key that each wants (RFC 7518, 3.2). */
const HMAC = { HS256: 32, HS384: 48, HS512: 64 } as const;

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const ED25519 = ['EdDSA', 'Ed25519'];
const MIN_RSA_BITS = 2048;
const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
};

/** Whether a token that says so can be signed with a key whose other half is public. */
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

/** A public key; what is wrong with it where it is of no use. */
export function publicKey(key: KeyObject, kid?: string, alg?: string): Key | string {
  const known = algorithmsOf(key);
  if (typeof known === 'string') return known;
  const algorithms = alg === undefined ? known : known.filter((each) => each === alg);
  if (algorithms.length === 0) return `a key of this kind is not for ${show(alg)}`;
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
    ? 'it is of a kind that is not used here: RSA, P-256, P-384, P-521 and Ed25519 are'
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
  // Node would take the public half of it; it should not lie on this machine.
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) throw refuse('is a private key');
  if ((pem.match(/-----BEGIN /g) ?? []).length > 1) throw refuse('has more than one key');
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw refuse('is none');
  }
  const usable = publicKey(key);
  if (typeof usable === 'string') throw refuse(`cannot be used, ${usable}`);
  return usable;
}

/** A key of a JWKS; what is wrong with it where it is of no use. */
export function jwkKey(jwk: unknown): Key | string {
  if (typeof jwk !== 'object' || jwk === null) return 'it is no object';
  const { kty, use, kid, alg, key_ops: uses } = jwk as Readonly<Record<string, unknown>>;
  if (kty === 'oct') return 'a secret is nothing that everybody can read';
  if (use !== undefined && use !== 'sig') return `it is for ${show(use)}`;
  if (uses !== undefined && !(Array.isArray(uses) && uses.includes('verify'))) {
    return 'it is not for verify';
  }
  if (kid !== undefined && typeof kid !== 'string') return 'its kid is no string';
  if (alg !== undefined && typeof alg !== 'string') return 'its alg is no string';
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    return 'it is no public key';
  }
  return publicKey(key, kid, alg);
}
