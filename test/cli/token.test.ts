/** `roomcast token`: its token is accepted, and wrong flags are reported. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Authenticator } from '../../src/auth/authenticator.js';
import { tokenCommand } from '../../src/cli/token.js';
import { silent } from '../../src/log.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { defaults } from '../../src/options/config.js';
import { checkToken, SECRET } from '../support/tokens.js';

const other = SECRET.toUpperCase();

async function run(...args: string[]): Promise<string> {
  let out = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  try {
    await tokenCommand().exitOverride().parseAsync(args, { from: 'user' });
  } finally {
    write.mockRestore();
  }
  return out.trim();
}

const check = (token: string, config = {}) => {
  const auth = new Authenticator(
    { ...defaults, tokenSecret: [SECRET], ...config },
    silent,
    new Recorder(),
  );
  onTestFinished(() => auth.close());
  return checkToken(auth, token);
};

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('a token', () => {
  it('is of the user, allows what is granted, and ends', async () => {
    vi.stubEnv('ROOMCAST_TOKEN_SECRET', `${SECRET},${other}`);
    const grants = ['--grant', 'chat:*=join', '--grant', 'chat:*=publish', '--grant', 'a=b=join'];
    const token = await run(
      '--user',
      '42',
      ...grants,
      '--seconds',
      '60',
      '--jti',
      't1',
      '--info',
      '{"name":"Ann"}',
    );
    const principal = await check(token);
    expect(principal).toMatchObject({
      user: '42',
      tokenId: 't1',
      info: { value: { name: 'Ann' } },
    });
    expect(principal.expiresAt - Date.now()).toBeGreaterThan(55_000);
    expect(principal.expiresAt - Date.now()).toBeLessThanOrEqual(60_000);
    expect(principal.may('publish', 'chat:a')).toBe(true);
    expect(principal.may('join', 'a=b')).toBe(true);
    expect(principal.may('join', 'b')).toBe(false);
  });

  it('has the audience and the issuer that a server asks for', async () => {
    vi.stubEnv('ROOMCAST_TOKEN_SECRET', SECRET);
    const config = { tokenAudience: ['a'], tokenIssuer: ['i'] };
    const token = await run('--user', '42', '--audience', 'a', '--issuer', 'i');
    await expect(check(token, config)).resolves.toMatchObject({ user: '42' });
    await expect(check(await run('--user', '42'), config)).rejects.toMatchObject({
      code: 'token_invalid',
    });
  });

  it('takes the secret from a flag or a file rather than from the environment', async () => {
    vi.stubEnv('ROOMCAST_TOKEN_SECRET', other);
    const folder = mkdtempSync(join(tmpdir(), 'token-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'secret');
    writeFileSync(file, `${SECRET}\n`);
    await check(await run('--user', '1', '--token-secret-file', file));
    await check(await run('--user', '1', '--token-secret', SECRET));
    vi.stubEnv('ROOMCAST_TOKEN_SECRET', '');
    vi.stubEnv('ROOMCAST_TOKEN_SECRET_FILE', file);
    await check(await run('--user', '1'));
  });
});

it.each([
  [['--user', ''], '--user "" is not allowed: give 1 to 128 characters'],
  [['--user', '4', '--grant', 'chat'], '--grant "chat" is not allowed: give a room'],
  [['--user', '4', '--grant', 'c*t=join'], '--grant "c*t=join" is not allowed'],
  [['--user', '4', '--grant', 'c=write'], '= and some of join, publish, history, presence, like'],
  [['--user', '4', '--seconds', '0'], '--seconds "0" is not allowed: give a whole number, 1 to'],
  [['--user', '4', '--seconds', '1.5'], '--seconds "1.5" is not allowed'],
  [['--user', '4'], 'a secret is missing: give ROOMCAST_TOKEN_SECRET'],
  [['--user', '4', '--token-secret', 'short'], '--token-secret (not shown) is not allowed: give'],
])('%j is refused', async (args, says) => {
  await expect(run(...args)).rejects.toMatchObject({
    name: 'ConfigError',
    message: expect.stringContaining(says),
  });
});
