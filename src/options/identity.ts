/** Options of who a connection is: tokens, their keys, how long they last, and who is cut off. */
import { bool, DAY, integer, list, secret, text } from './schema.js';

const IDENTITY = 'Identity (off while there is no secret, key file or JWKS address)';

export const identity = {
  // RFC 7518 (3.2) asks for 32 bytes, which jose does not look at.
  tokenSecret: secret(
    list(
      { pattern: '^[^,\\s\\u0000-\\u001f\\u007f]{32,512}$' },
      {
        group: IDENTITY,
        unit: 'secrets',
        description: 'Secrets that tokens (JWT) are signed with, any of them.',
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
      description: 'PEM files of public keys that tokens may be signed with.',
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
      description: 'Where the public keys are that tokens may be signed with (JWKS).',
      allowed: 'an https address; http of this machine',
    },
  ),
  jwksRefreshMs: integer([600_000, 10_000, DAY], {
    group: IDENTITY,
    unit: 'ms',
    description: 'Time between two looks at it.',
  }),
  jwksStaleMs: integer([3_600_000, 0, 7 * DAY], {
    group: IDENTITY,
    unit: 'ms',
    zero: 'not at all',
    description: 'Time that its keys are good for while it cannot be reached.',
  }),
  tokenIssuer: list(
    { maxLength: 1000 },
    {
      group: IDENTITY,
      unit: 'texts',
      description: 'What the claim iss may be; empty: anything.',
      allowed: 'at most 8 texts of 1 to 1000 characters',
    },
    8,
  ),
  tokenAudience: list(
    { maxLength: 1000 },
    {
      group: IDENTITY,
      unit: 'texts',
      description: 'What the claim aud may be, or have in it; empty: anything.',
      allowed: 'at most 8 texts of 1 to 1000 characters',
    },
    8,
  ),
  tokenUserClaim: text('sub', { maxLength: 200 }, claim('The claim that says who the user is.')),
  tokenRoomsClaim: text(
    'rooms',
    { maxLength: 200 },
    claim('The claim that says what the user may do in which rooms.'),
  ),
  anonymous: bool(false, {
    group: IDENTITY,
    unit: 'boolean',
    description: 'Whether connections without a token stay, and may do what anyone may.',
  }),
  authMs: integer([10_000, 100, DAY], {
    group: IDENTITY,
    unit: 'ms',
    description:
      'Time to a token that is good, for each check of one, and for each answer of auth of an app.',
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
    description: 'How far the clock of who issues tokens may be from ours.',
  }),
  expiryNoticeMs: integer([30_000, 0, DAY], {
    group: IDENTITY,
    unit: 'ms',
    zero: 'none',
    description: 'Time before the end of a token at which its connection is told.',
  }),
  maxInfoBytes: integer([1024, 0, 8192], {
    group: IDENTITY,
    unit: 'bytes',
    zero: 'none',
    description:
      'Size, as JSON, of what is shown of a user to those who are told who is in a room.',
  }),
  maxConnectionsPerUser: integer([0, 0, 10_000_000], {
    group: IDENTITY,
    unit: 'connections',
    zero: 'no limit',
    description: 'Connections of one user; who has as many is closed with 4100.',
  }),
  maxRevocations: integer([10_000, 1, 1_000_000], {
    group: IDENTITY,
    unit: 'revocations',
    description:
      'Users, tokens and rooms that are cut off at a time; none is let go of for another.',
  }),
};

function claim(description: string) {
  return { group: IDENTITY, unit: 'name', description, allowed: 'a name of 1 to 200 characters' };
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** Whether keys may come from there: whoever is between could put their own in the place of them. */
function isKeyAddress(text: string): boolean {
  if (text === '') return true;
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname));
}
