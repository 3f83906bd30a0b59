/**
 * `roomcast load agent`: lends this machine to a `roomcast load --agents` on another one, until a
 * signal. Not here: the agent itself (`src/load/agent/`).
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { Agent } from '../load/agent/agent.js';
import { badOption, EXIT, LoadError } from '../load/error.js';
import { parseListen } from '../load/listen.js';
import { version } from '../version.js';

/** A shorter secret could be guessed from a recorded handshake. */
const SECRET_MIN = 16;

export function loadAgentCommand(): Command {
  return new Command('agent')
    .description('Lend this machine to a roomcast load --agents on another one.')
    .requiredOption('--listen <[host:]port>', 'Address to listen on; a port alone is on loopback.')
    .option('--secret-file <file>', `A shared secret of ${SECRET_MIN} characters or more.`)
    .helpOption('-h, --help', 'Show this help.')
    .action(async (_: object, command: Command) => {
      try {
        // The parent command has an option of the same name, which takes the value.
        await agent(command.optsWithGlobals());
      } catch (error) {
        if (!(error instanceof LoadError)) throw error;
        process.stderr.write(`roomcast: ${error.message}\n`);
        process.exitCode = EXIT.usage;
      }
    });
}

async function agent(flags: { listen: string; secretFile?: string }): Promise<void> {
  const listen = parseListen('--listen', flags.listen);
  const secret = readSecret(flags.secretFile);
  const log = (line: string): void => {
    process.stdout.write(`agent: ${line}\n`);
  };
  const running = await Agent.open({ listen, secret, version, log });
  const { host, port } = running.address;
  log(`listening on ${host}:${port}`);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  await running.close();
}

/**
 * Reads the secret of a file, without surrounding white space.
 * @throws LoadError `bad_option`
 */
export function readSecret(file: string | undefined): string {
  if (file === undefined)
    throw badOption('--secret-file', '', 'a file with a secret that all share');
  let secret: string;
  try {
    secret = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new LoadError('bad_option', `--secret-file ${file}: ${(error as Error).message}`);
  }
  if (secret.length < SECRET_MIN) {
    // The message must not show the content.
    throw badOption('--secret-file', file, `a file with ${SECRET_MIN} characters or more`);
  }
  return secret;
}
