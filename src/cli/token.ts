/**
 * `roomcast token`: prints a token signed with a secret of the server.
 *
 * Not here: the requirements of a token (`src/auth/tokens.ts`).
 */
import { Command } from 'commander';
import { Grants } from '../auth/grants.js';
import { isName } from '../auth/names.js';
import { signToken } from '../auth/sign.js';
import { ConfigError, Refusal } from '../errors.js';
import { show } from '../options/check.js';
import { loadConfig } from '../options/sources.js';
import { ACTIONS } from '../room/identity.js';

const DEFAULT_SECONDS = 600;
const MAX_SECONDS = 365 * 86_400;
const SECRETS = ['tokenSecret', 'tokenSecretFile'] as const;
const VARIABLES = ['ROOMCAST_TOKEN_SECRET', 'ROOMCAST_TOKEN_SECRET_FILE'] as const;

const HELP = `
Without a flag the secret is read from ROOMCAST_TOKEN_SECRET, or from the file
that ROOMCAST_TOKEN_SECRET_FILE names; if there are several, the first is used.
Other users of the machine can read flags. The token is valid for its bearer,
whoever that is, until it expires.

  export ROOMCAST_TOKEN_SECRET="$(openssl rand -hex 32)"
  roomcast serve &
  roomcast token --user 42 --grant 'chat:*=join,publish'
`;

interface Flags {
  readonly user: string;
  readonly grant: readonly string[];
  readonly seconds: string;
  readonly audience?: string;
  readonly issuer?: string;
  readonly jti?: string;
  readonly info?: string;
  readonly tokenSecret?: string;
  readonly tokenSecretFile?: string;
}

export function tokenCommand(): Command {
  const many = (text: string, before: readonly string[]) => [...before, text];
  return new Command('token')
    .description('Print a token for a connection, signed with a secret of the server.')
    .requiredOption('--user <id>', 'user that the token is for')
    .option(
      '--grant <rooms=actions>',
      `granted rooms and actions (${ACTIONS.join(', ')}), like 'chat:*=join,publish'`,
      many,
      [],
    )
    .option('--seconds <n>', 'lifetime in seconds', `${DEFAULT_SECONDS}`)
    .option('--audience <text>', 'claim aud')
    .option('--issuer <text>', 'claim iss')
    .option('--jti <text>', 'claim jti, by which the token can be revoked')
    .option('--info <json>', 'user information that presence shows to other members')
    .option('--token-secret <secret>', 'secret of the server')
    .option('--token-secret-file <file>', 'file with that secret')
    .addHelpText('after', HELP)
    .action(async (flags: Flags) => {
      process.stdout.write(`${await tokenFrom(flags, process.env)}\n`);
    });
}

/** @throws ConfigError */
async function tokenFrom(flags: Flags, env: NodeJS.ProcessEnv): Promise<string> {
  const { user, audience, issuer, jti: tokenId } = flags;
  if (!isName(user)) throw notAllowed('--user', user, '1 to 128 characters without controls');
  const seconds = /^\d{1,9}$/.test(flags.seconds) ? Number(flags.seconds) : 0;
  if (seconds < 1 || seconds > MAX_SECONDS) {
    throw notAllowed('--seconds', flags.seconds, `a whole number, 1 to ${MAX_SECONDS}`);
  }
  const rooms = flags.grant.length > 0 ? grantsOf(flags.grant) : undefined;
  const secret = secretOf(flags, env);
  const info = flags.info === undefined ? undefined : jsonOf(flags.info);
  return signToken(secret, { user, rooms, seconds, audience, issuer, tokenId, info });
}

/** @throws ConfigError */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notAllowed('--info', text, 'JSON');
  }
}

function grantsOf(given: readonly string[]): Record<string, string[]> {
  const rooms = new Map<string, string[]>();
  for (const grant of given) {
    const at = grant.lastIndexOf('=');
    const [pattern, actions] = [grant.slice(0, at), grant.slice(at + 1).split(',')];
    try {
      new Grants({ [pattern]: actions }, '--grant');
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const allowed = ACTIONS.join(', ');
      throw notAllowed(
        '--grant',
        grant,
        `a room or a prefix and *, = and some of ${allowed}, like 'chat:*=join,publish'`,
      );
    }
    rooms.set(pattern, [...(rooms.get(pattern) ?? []), ...actions]);
  }
  return Object.fromEntries(rooms);
}

/**
 * The secret that flags or environment variables give.
 * @throws ConfigError
 */
export function secretOf(
  flags: Pick<Flags, (typeof SECRETS)[number]>,
  env: NodeJS.ProcessEnv,
): string {
  const given = SECRETS.flatMap((name) => {
    const text = flags[name];
    return text === undefined ? [] : [[name, text]];
  });
  const variables = given.length > 0 ? [] : VARIABLES.map((name) => [name, env[name]]);
  const { tokenSecret } = loadConfig({
    flags: Object.fromEntries(given),
    env: Object.fromEntries(variables),
  });
  const [secret] = tokenSecret;
  if (secret !== undefined) return secret;
  throw new ConfigError('a secret is missing: give ROOMCAST_TOKEN_SECRET, or --token-secret-file');
}

const notAllowed = (flag: string, value: string, allowed: string) =>
  new ConfigError(`${flag} ${show(value)} is not allowed: give ${allowed}`, {
    code: 'bad_option',
    value,
    allowed,
  });
