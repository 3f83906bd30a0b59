/**
 * A `--protocol` file: loads it, checks its default export and wraps every function, so that a function
 * that throws or returns a value is reported as a fault of the file, by its name, and not of the server.
 * Not here: the contract (../protocol.ts).
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { LoadError } from '../error.js';
import type { Protocol } from '../protocol.js';
import { describe, ProtocolViolation } from './link.js';

/** Identifies a protocol file. Plain data that is sent to workers and agents and written into reports. */
export interface ProtocolFile {
  /** Absolute path. */
  readonly file: string;
  /** SHA-256 of its text, in hex: the file must be the same on every machine. */
  readonly sha256: string;
}

const REQUIRED = ['open', 'join', 'publish', 'decode'] as const;
const OPTIONAL = ['state', 'leave', 'backfill', 'heartbeat'] as const;
/** A module may await at its top level; nothing else would end that. */
const LOAD_MS = 5000;
/** Node treats a longer interval as 1 ms. */
const HEARTBEAT_MAX = 2 ** 31 - 1;

const FIELDS: Record<string, { expected: string; holds: (value: unknown) => boolean }> = {
  name: {
    expected: 'a name of lower-case letters, digits and dashes',
    holds: (value) => typeof value === 'string' && /^[a-z][a-z0-9-]{0,39}$/.test(value),
  },
  path: {
    expected: 'a path that starts with /',
    holds: (value) => typeof value === 'string' && /^\/[\x21-\x7e]*$/.test(value),
  },
  subprotocol: {
    expected: 'the name of a WebSocket subprotocol',
    holds: (value) => typeof value === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(value),
  },
  frames: {
    expected: "'text' or 'binary'",
    holds: (value) => value === 'text' || value === 'binary',
  },
  numbered: { expected: 'true or false', holds: (value) => typeof value === 'boolean' },
  positions: { expected: 'true or false', holds: (value) => typeof value === 'boolean' },
  heartbeatMs: {
    expected: `a number of milliseconds from 1 to ${HEARTBEAT_MAX}`,
    holds: (value) => typeof value === 'number' && value >= 1 && value <= HEARTBEAT_MAX,
  },
};

/**
 * Identifies the file of `--protocol`; runs nothing of it.
 * @throws LoadError `bad_protocol` when it cannot be read
 */
export async function protocolFile(path: string): Promise<ProtocolFile> {
  const file = resolve(path);
  try {
    const sha256 = createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
    return { file, sha256 };
  } catch (error) {
    throw bad(path, `${(error as Error).message}: expected a JavaScript module`);
  }
}

/**
 * Runs the file and checks its default export.
 * @throws LoadError `bad_protocol`
 */
export async function loadProtocol({ file, sha256 }: ProtocolFile): Promise<Protocol<unknown>> {
  if ((await protocolFile(file)).sha256 !== sha256) {
    throw bad(
      file,
      'differs from the file the test was started with: expected the same everywhere',
    );
  }
  let late: NodeJS.Timeout | undefined;
  const waited = new Promise<never>((_, reject) => {
    const text = `it did not load within ${LOAD_MS / 1000} s: expected a module without a long top-level await`;
    late = setTimeout(() => reject(bad(file, text)), LOAD_MS);
  });
  try {
    const module: { default?: unknown } = await Promise.race([
      import(pathToFileURL(file).href),
      waited,
    ]);
    return guarded(file, checked(file, module.default));
  } catch (error) {
    throw error instanceof LoadError ? error : bad(file, String(error));
  } finally {
    clearTimeout(late);
  }
}

function checked(file: string, value: unknown): Protocol<unknown> {
  if (typeof value !== 'object' || value === null) {
    throw bad(
      file,
      `its default export is ${describe(value)}: expected an object with ${REQUIRED.join(', ')}`,
    );
  }
  const protocol = value as Record<string, unknown>;
  for (const name of REQUIRED) {
    if (typeof protocol[name] !== 'function') {
      throw bad(file, `${name} is ${describe(protocol[name])}: expected a function`);
    }
  }
  for (const name of OPTIONAL) {
    if (protocol[name] !== undefined && typeof protocol[name] !== 'function') {
      throw bad(file, `${name} is ${describe(protocol[name])}: expected a function or nothing`);
    }
  }
  for (const [name, { expected, holds }] of Object.entries(FIELDS)) {
    if (protocol[name] === undefined && name !== 'name') continue;
    if (!holds(protocol[name])) {
      throw bad(file, `${name} is ${describe(protocol[name])}: expected ${expected}`);
    }
  }
  if ((protocol['heartbeatMs'] === undefined) !== (protocol['heartbeat'] === undefined)) {
    throw bad(file, 'one of heartbeat and heartbeatMs is missing: expected both or neither');
  }
  return value as Protocol<unknown>;
}

/** Wraps the protocol's functions so that they throw only `LoadError` and `ProtocolViolation`. */
function guarded(file: string, protocol: Protocol<unknown>): Protocol<unknown> {
  const call = <Args extends unknown[], Result>(
    name: string,
    act: (...args: Args) => Result,
    args: Args,
  ): Result => {
    try {
      return act.apply(protocol, args);
    } catch (error) {
      throw error instanceof ProtocolViolation
        ? error
        : bad(file, `${name} threw ${messageOf(error)}`);
    }
  };
  const guard =
    <Args extends unknown[]>(name: string, act: (...args: Args) => void) =>
    (...args: Args): void => {
      const returned: unknown = call(name, act, args);
      if (returned === undefined) return;
      throw bad(
        file,
        `${name} returned ${describe(returned)}: expected nothing; connection.send() sends a frame`,
      );
    };
  const { state, open, join, leave, publish, backfill, decode, heartbeat } = protocol;
  return {
    ...protocol,
    ...(state ? { state: () => call('state', state, []) } : {}),
    open: guard('open', open),
    join: guard('join', join),
    ...(leave ? { leave: guard('leave', leave) } : {}),
    publish: guard('publish', publish),
    ...(backfill ? { backfill: guard('backfill', backfill) } : {}),
    decode: guard('decode', decode),
    ...(heartbeat ? { heartbeat: guard('heartbeat', heartbeat) } : {}),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : describe(error);
}

function bad(file: string, text: string): LoadError {
  return new LoadError('bad_protocol', `${file}: ${text.replaceAll(/\s*\n\s*/g, ' ')}`);
}
