/** Options of authentication: tokens, their keys and lifetimes, and revocations. */
import { bool, DAY, integer, list, secret, text } from './schema.js';

const IDENTITY = 'Identity (off while there is no secret, key file or JWKS address)';

export const identity = {
  // RFC 7518 (3.2) requires 32 bytes; jose does not check it.
  tokenSecret: secret(
    list(
      { pattern: '^[^,\\s\\u0000-\\u001f\\u007f]{32,512}$' },
      {
        group: IDENTITY,
        unit: 'secrets',
        description: 'Secrets for signed tokens (JWT); a token may be signed with any of them.',
        allowed: 'at most 4 secrets of 32 to 512 characters each, without a comma or white space',
      },
      4,
    ),
  ),
  tokenKeyFile: list(
    { maxLength: 4096 },
    {
      group: IDENTITY,
      unit: 'files',
      description: 'PEM files of public keys; a token may be signed with any of them.',
      allowed: 'at most 4 paths of PEM files with a public key or a certificate',
    },
    4,
  ),
  jwksUrl: text(
    '',
    { minLength: 0, maxLength: 2048, is: isKeyAddress },
    {
      group: IDENTITY,
      unit: 'address',
      description: 'Address of a JWKS with public keys; a token may be signed with any of them.',
      allowed: 'an https address; http of this machine',
    },
  ),
  jwksRefreshMs: integer([600_000, 10_000, DAY], {
    group: IDENTITY,
    unit: 'ms',
    description: 'Time between two fetches of the JWKS.',
  }),
  jwksStaleMs: integer([3_600_000, 0, 7 * DAY], {
    group: IDENTITY,
    unit: 'ms',
    zero: 'not at all',
    description: 'Time that the keys of the JWKS stay valid while it cannot be fetched.',
  }),
  tokenIssuer: list(
    { maxLength: 1000 },
    {
      group: IDENTITY,
      unit: 'texts',
      description: 'Allowed values of the claim iss; empty: any.',
      allowed: 'at most 8 texts of 1 to 1000 characters',
    },
    8,
  ),
  tokenAudience: list(
    { maxLength: 1000 },
    {
      group: IDENTITY,
      unit: 'texts',
      description: 'Allowed values of the claim aud, one of which it must contain; empty: any.',
      allowed: 'at most 8 texts of 1 to 1000 characters',
    },
    8,
  ),
  tokenUserClaim: text('sub', { maxLength: 200 }, claim('The claim that names the user.')),
  tokenRoomsClaim: text(
    'rooms',
    { maxLength: 200 },
    claim('The claim that lists what the user may do in which rooms.'),
  ),
  anonymous: bool(false, {
    group: IDENTITY,
    unit: 'boolean',
    description: 'Whether connections without a token may stay, with the permissions of anyone.',
  }),
  authMs: integer([10_000, 100, DAY], {
    group: IDENTITY,
    unit: 'ms',
    description:
      'Time limit for the first valid token, for each check of a token, and for each answer of the auth of an app.',
  }),
  maxTokenBytes: integer([8192, 256, 65_536], {
    group: IDENTITY,
    unit: 'bytes',
    description: 'Size of a token.',
  }),
  clockToleranceMs: integer([10_000, 0, 300_000], {
    group: IDENTITY,
    unit: 'ms',
    zero: 'none',
    description: 'Allowed difference between the clock of the token issuer and this one.',
  }),
  expiryNoticeMs: integer([30_000, 0, DAY], {
    group: IDENTITY,
    unit: 'ms',
    zero: 'none',
    description: 'Time before a token expires at which its connection is notified.',
  }),
  maxInfoBytes: integer([1024, 0, 8192], {
    group: IDENTITY,
    unit: 'bytes',
    zero: 'none',
    description: 'Size, as JSON, of the user info that presence lists show.',
  }),
  maxConnectionsPerUser: integer([0, 0, 10_000_000], {
    group: IDENTITY,
    unit: 'connections',
    zero: 'no limit',
    description: 'Connections of one user; a further one is closed with 4100.',
  }),
  maxRevocations: integer([10_000, 1, 1_000_000], {
    group: IDENTITY,
    unit: 'revocations',
    description: 'Revocations of users, tokens and rooms in force; a further one is refused.',
  }),
};

function claim(description: string) {
  return { group: IDENTITY, unit: 'name', description, allowed: 'a name of 1 to 200 characters' };
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** Whether keys may be fetched from this address: without TLS, someone in between could replace them. */
function isKeyAddress(text: string): boolean {
  if (text === '') return true;
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname));
}
