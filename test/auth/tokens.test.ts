/**
 * Only valid tokens are accepted: tests of each claim, of each known forgery, and of random headers and claims
 * from fast-check.
 */
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Claims } from '../../src/auth/claims.js';
import { fits, type Key, publicKey, secretKey } from '../../src/auth/keys.js';
import { Tokens } from '../../src/auth/tokens.js';
import { Refusal } from '../../src/errors.js';
import { type Config, defaults } from '../../src/options/config.js';

const NOW = Date.UTC(2026, 0, 1);
const SECRET = 's'.repeat(32);
const OTHER = 'o'.repeat(64);
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');
const PEM = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string;

const usable = (key: Key | string): Key => {
  if (typeof key === 'string') throw new Error(key);
  return key;
};

const KEYS = [
  secretKey(SECRET),
  secretKey(OTHER),
  ...[rsa, ec, ed].map((pair) => usable(publicKey(pair.publicKey))),
];

const part = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const hmac = (text: string, secret: string | Buffer, hash = 'sha256') =>
  createHmac(hash, secret).update(text).digest('base64url');

const seconds = NOW / 1000;
const CLAIMS = { sub: '42', exp: seconds + 600, rooms: { 'chat:*': ['join'] } };

/** A token with these claims, or this payload text, signed with a secret of the server. */
const signed = (claims: unknown, header: unknown = { alg: 'HS256' }, secret = SECRET) => {
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${hmac(text, secret)}`;
};

const verify = (
  token: unknown,
  config: Partial<Config> = {},
  keys: readonly Key[] = KEYS,
): Promise<Claims> => {
  const candidates = (hint: Parameters<typeof fits>[1]) => keys.filter((key) => fits(key, hint));
  const tokens = new Tokens({ candidates }, { ...defaults, ...config });
  return tokens.verify(token);
};

const refusal = async (token: unknown, config: Partial<Config> = {}, keys = KEYS) => {
  try {
    await verify(token, config, keys);
  } catch (error) {
    if (error instanceof Refusal) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'taken';
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a valid token', () => {
  it('gives the user, the expiry and the permissions', async () => {
    const claims = { ...CLAIMS, iat: seconds - 5, jti: 't1', info: { name: 'Ann' } };
    const { may, ...rest } = await verify(signed(claims));
    expect(rest).toEqual({
      user: '42',
      expiresAt: NOW + 600_000,
      issuedAt: NOW - 5000,
      tokenId: 't1',
      info: { value: { name: 'Ann' }, text: '{"name":"Ann"}' },
    });
    expect([may('join', 'chat:a'), may('publish', 'chat:a')]).toEqual([true, false]);
  });

  it.each(['HS256', 'HS384', 'HS512'])(
    'may be signed with %s if the secret is long enough',
    async (alg) => {
      const text = `${part({ alg })}.${part(CLAIMS)}`;
      const by = (secret: string) => `${text}.${hmac(text, secret, `sha${alg.slice(2)}`)}`;
      expect(await refusal(by(OTHER))).toBe('taken');
      expect(await refusal(by(SECRET))).toBe(
        alg === 'HS256'
          ? 'taken'
          : 'token_invalid: The token is not signed with a key of this server.',
      );
    },
  );

  it.each([
    ['RS256', rsa, 'sha256', {}],
    ['RS512', rsa, 'sha512', {}],
    ['PS256', rsa, 'sha256', { padding: 6, saltLength: 32 }],
    ['ES256', ec, 'sha256', { dsaEncoding: 'ieee-p1363' }],
    ['EdDSA', ed, undefined, {}],
  ] as const)('may be signed with %s', async (alg, { privateKey }, hash, how) => {
    const text = `${part({ alg })}.${part(CLAIMS)}`;
    const signature = sign(hash, Buffer.from(text), { key: privateKey, ...how });
    expect(await refusal(`${text}.${signature.toString('base64url')}`)).toBe('taken');
  });

  it('may use other claims for the user and the rooms', async () => {
    const config = { tokenUserClaim: 'https://a.example/id', tokenRoomsClaim: 'may' };
    const claims = { exp: CLAIMS.exp, 'https://a.example/id': 'x', may: { a: ['join'] } };
    const { user, may } = await verify(signed(claims), config);
    expect([user, may('join', 'a')]).toEqual(['x', true]);
  });
});

describe('an invalid claim', () => {
  const long = 'x'.repeat(129);
  it.each([
    [{ sub: undefined }, 'sub is nothing; it must be a string of 1 to 128'],
    [{ sub: 42 }, 'sub is 42; it must be a string'],
    [{ sub: '' }, 'sub is ""'],
    [{ sub: long }, 'sub is "xxx'],
    [{ sub: 'a\u0000b' }, 'without control characters'],
    [{ sub: 'a\nb' }, 'without control characters'],
    [{ sub: '\ud800' }, 'without control characters'],
    [{ exp: undefined }, 'exp of the token is missing'],
    [{ exp: 'soon' }, 'exp of the token is of the wrong type'],
    [{ exp: null }, 'exp of the token is of the wrong type'],
    [{ nbf: seconds + 11 }, 'nbf of the token is not accepted here'],
    [{ nbf: 'x' }, 'nbf of the token is of the wrong type'],
    [{ iat: seconds + 11 }, 'iat is in the future'],
    [{ iat: 'x' }, 'iat'],
    [{ info: 'é'.repeat(512) }, 'info has 1026 bytes as JSON; 1024 are allowed'],
    [{ jti: 5 }, 'jti is 5'],
    [{ jti: long }, 'jti is "xxx'],
    [{ room: 'a' }, 'The claim room is reserved'],
    [{ rooms: ['chat'] }, 'rooms is an array'],
    [{ rooms: { 'a*b': ['join'] } }, 'the pattern "a*b"'],
    [{ rooms: { a: ['own'] } }, 'rooms "a" has "own"'],
  ])('%j is named in the error', async (claims, says) => {
    const answer = await refusal(signed({ ...CLAIMS, ...claims }));
    expect(answer).toMatch(/^token_invalid: /);
    expect(answer).toContain(says);
  });

  it('iss and aud are checked if configured, and then required', async () => {
    const config = { tokenIssuer: ['i1', 'i2'], tokenAudience: ['a1'] };
    const at = (claims: object) => refusal(signed({ ...CLAIMS, ...claims }), config);
    expect(await at({ iss: 'i2', aud: 'a1' })).toBe('taken');
    expect(await at({ iss: 'i2', aud: ['x', 'a1'] })).toBe('taken');
    expect(await at({ iss: 'i3', aud: 'a1' })).toContain('iss of the token is not accepted');
    expect(await at({ iss: 'i1', aud: 'a2' })).toContain('aud of the token is not accepted');
    expect(await at({ aud: 'a1' })).toContain('iss of the token is missing');
    expect(await at({ iss: 'i1' })).toContain('aud of the token is missing');
    expect(await at({ iss: ['i1'], aud: 'a1' })).toContain('iss');
  });

  it('a number too large for a double is not an expiry time', async () => {
    const text = `{"sub":"42","exp":1e999}`;
    expect(await refusal(signed(text))).toBe('token_invalid: exp is not a finite number.');
    expect(await refusal(signed('{"sub":"42","exp":4e9,"iat":1e999}'))).toContain('iat');
  });

  it.each([
    [-10_001, 'token_expired: The token has expired; send a new one.'],
    [-10_000, 'token_expired: The token has expired; send a new one.'],
    [-9000, 'taken'],
    [0, 'taken'],
  ])('exp %d ms from now', async (ms, says) => {
    expect(await refusal(signed({ ...CLAIMS, exp: (NOW + ms) / 1000 }))).toBe(says);
  });

  it.each([9999, 10_000])('nbf and iat may be %d ms ahead', async (ms) => {
    const ahead = (NOW + ms) / 1000;
    expect(await refusal(signed({ ...CLAIMS, nbf: ahead, iat: ahead }))).toBe('taken');
  });
});

/** Known forgeries (§4 (h) and others): each signed with a secret or key that is not accepted. */
describe('a forged token', () => {
  const text = (header: unknown, claims: unknown = CLAIMS) => `${part(header)}.${part(claims)}`;
  const withPublicKey = (alg: string, key: string | Buffer, hash: string) => {
    const head = text({ alg, typ: 'JWT' });
    return `${head}.${hmac(head, key, hash)}`;
  };
  const der = rsa.publicKey.export({ type: 'spki', format: 'der' });
  const good = signed(CLAIMS);
  const [head, body, signature] = good.split('.') as [string, string, string];
  const forged: Record<string, unknown> = {
    'no signature, alg none': `${text({ alg: 'none' })}.`,
    'alg None': `${text({ alg: 'None' })}.`,
    'alg none, signed': signed(CLAIMS, { alg: 'none' }),
    'alg missing': signed(CLAIMS, {}),
    'alg a list': signed(CLAIMS, { alg: ['HS256'] }),
    'alg RS256, signed as HS256': signed(CLAIMS, { alg: 'RS256' }),
    'HS256 with the PEM of the public key': withPublicKey('HS256', PEM, 'sha256'),
    'HS256 with that PEM, trimmed': withPublicKey('HS256', PEM.trim(), 'sha256'),
    'HS512 with that PEM': withPublicKey('HS512', PEM, 'sha512'),
    'HS256 with the public key as DER': withPublicKey('HS256', der, 'sha256'),
    'an empty secret': signed(CLAIMS, { alg: 'HS256' }, ''),
    'another secret': signed(CLAIMS, { alg: 'HS256' }, 'x'.repeat(32)),
    'the secret with a byte behind it': signed(CLAIMS, { alg: 'HS256' }, `${SECRET}x`),
    'a key in its header': signed(CLAIMS, { alg: 'HS256', jwk: { kty: 'oct', k: part('x') } }, 'x'),
    'an address of keys in its header': signed(CLAIMS, { alg: 'HS256', jku: 'http://a' }, 'x'),
    'crit of something unknown': signed(CLAIMS, { alg: 'HS256', crit: ['x'], x: 1 }),
    'crit of b64': signed(CLAIMS, { alg: 'HS256', crit: ['b64'], b64: false }),
    'crit empty': signed(CLAIMS, { alg: 'HS256', crit: [] }),
    'another body': `${head}.${part({ ...CLAIMS, sub: '1' })}.${signature}`,
    'another header': `${part({ alg: 'HS256', x: 1 })}.${body}.${signature}`,
    'a signature cut short': good.slice(0, -4),
    'a signature of nothing': `${head}.${body}.`,
    'five parts': `${good}.a.b`,
    'two parts': `${head}.${body}`,
    'a body that is no object': signed('"42"'),
    'a body that is an array': signed([CLAIMS]),
    'a body that is not JSON': signed('{'),
    'a header that is not JSON': signed(CLAIMS, '{'),
    'a header that is null': signed(CLAIMS, 'null'),
    'kid a path': signed(CLAIMS, { alg: 'HS256', kid: '../../dev/null' }, ''),
    'kid with NUL': signed(CLAIMS, { alg: 'HS256', kid: 'a\u0000' }, ''),
    'kid of SQL': signed(CLAIMS, { alg: 'HS256', kid: "' UNION SELECT 'x" }, 'x'),
    'kid a number': signed(CLAIMS, { alg: 'HS256', kid: 1 }),
    encrypted: `${part({ alg: 'dir', enc: 'A128GCM' })}..${part('x')}.${part('y')}.${part('z')}`,
    'a space before it': ` ${good}`,
    'Bearer before it': `Bearer ${good}`,
    'an object': { token: good },
    'an array': [good],
    'a number': 5,
    nothing: undefined,
    empty: '',
    dots: '..',
    'deep JSON': signed(`${'['.repeat(3000)}${']'.repeat(3000)}`),
  };

  it.each(Object.entries(forged))('%s', async (_, token) => {
    expect(await refusal(token)).toMatch(/^token_invalid: /);
  });

  it('is not parsed if it is too large', async () => {
    expect(await refusal('x'.repeat(8193))).toBe(
      'token_too_big: The token has 8193 bytes; 8192 are allowed.',
    );
    expect(await refusal('ü'.repeat(4097))).toMatch(/^token_too_big: The token has 8194 bytes/);
    expect(await refusal('x'.repeat(65_536))).toMatch(/^token_too_big/);
  });

  it('with a repeated claim counts with the last one, as signed', async () => {
    const { user } = await verify(signed(`{"sub":"1","sub":"42","exp":${CLAIMS.exp}}`));
    expect(user).toBe('42');
  });

  it('never appears in the error', async () => {
    for (const token of Object.values(forged)) {
      if (typeof token !== 'string' || token.length < 20) continue;
      const answer = await refusal(token);
      for (const each of token.split('.')) if (each.length > 8) expect(answer).not.toContain(each);
    }
  });
});

describe('for any input', () => {
  const json = fc.jsonValue();
  it('an unsigned token is refused, with a code', async () => {
    await fc.assert(
      fc.asyncProperty(json, json, fc.base64String(), async (header, claims, end) => {
        const token = `${part(header)}.${part(claims)}.${end}`;
        expect(await refusal(token, { maxTokenBytes: 65_536 })).toMatch(
          /^token_(invalid|too_big): /,
        );
      }),
      { numRuns: 300 },
    );
  });

  it('a signed token with any header and claims is refused with a code, or valid', async () => {
    const header = fc.record(
      { alg: fc.oneof(fc.constant('HS256'), json), kid: json, crit: json, b64: json, typ: json },
      { requiredKeys: ['alg'] },
    );
    const claims = fc.record(
      {
        sub: fc.oneof(fc.constant('42'), json),
        exp: fc.oneof(fc.constant(CLAIMS.exp), fc.double(), json),
        iat: fc.oneof(fc.double(), json),
        nbf: json,
        jti: json,
        rooms: fc.oneof(fc.dictionary(fc.string(), json), json),
        __proto__: json,
      },
      { requiredKeys: ['sub', 'exp'] },
    );
    await fc.assert(
      fc.asyncProperty(header, claims, async (head, body) => {
        const answer = await refusal(signed(body, head), { maxTokenBytes: 65_536 });
        expect(answer).toMatch(/^(taken$|token_(invalid|expired): )/);
        if (answer === 'taken') {
          expect([head['alg'], body['sub'] !== '', Number(body['exp']) > seconds - 10]).toEqual([
            'HS256',
            true,
            true,
          ]);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('any change of a valid token is refused', async () => {
    const good = signed(CLAIMS);
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.string({ maxLength: 2 }), async (at, text) => {
        const changed = good.slice(0, at) + text + good.slice(at + 1);
        const decoded = (token: string) =>
          token.split('.').map((each) => Buffer.from(each, 'base64url').toString('hex'));
        // Base64url has two spellings of the same bytes, which differ in the unused bits at the end.
        fc.pre(JSON.stringify(decoded(changed)) !== JSON.stringify(decoded(good)));
        expect(await refusal(changed)).toMatch(/^token_invalid: /);
      }),
      { numRuns: 200 },
    );
  });
});
