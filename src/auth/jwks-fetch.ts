/**
 * One look at an address of keys (JWKS). V3: bounded in time, in bytes and in keys, whatever answers;
 * nothing is followed that it points to.
 *
 * Not here: when it is looked at (`jwks.ts`).
 */
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import { jwkKey, type Key } from './keys.js';
import { within } from './within.js';

/** How long it may take to answer whole, in milliseconds. */
const TIMEOUT_MS = 5000;
const MAX_BYTES = 256 * 1024;
const MAX_KEYS = 64;

/** @throws Error that says why there are none, as a rejection */
export function fetchKeys(url: string, ended: AbortSignal): Promise<readonly Key[]> {
  return within(
    TIMEOUT_MS,
    ended,
    async (signal) => keysOf(await textOf(await open(url, signal))),
    () => new Error(`no answer within ${TIMEOUT_MS} ms`),
  );
}

function open(url: string, signal: AbortSignal): Promise<IncomingMessage> {
  const get = url.startsWith('https:') ? getHttps : getHttp;
  const headers = { accept: 'application/jwk-set+json, application/json' };
  return new Promise((resolve, reject) => {
    const request = get(url, { headers, signal }, resolve);
    request.on('error', reject);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  try {
    const { statusCode } = response;
    if (statusCode !== 200) throw new Error(`it answered with status ${statusCode}`);
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of response as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > MAX_BYTES) throw new Error(`it answered with more than ${MAX_BYTES} bytes`);
      parts.push(part);
    }
    return Buffer.concat(parts).toString();
  } finally {
    response.destroy();
  }
}

/** Keys of other uses may be among them and are passed over. */
function keysOf(text: string): readonly Key[] {
  const parsed = parse(text);
  const { keys } = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as {
    keys?: unknown;
  };
  if (!Array.isArray(keys)) throw new Error('it answered without a list of keys');
  if (keys.length > MAX_KEYS)
    throw new Error(`it has ${keys.length} keys; ${MAX_KEYS} are allowed`);
  const all = keys.map(jwkKey);
  const usable = all.filter((key) => typeof key !== 'string');
  if (usable.length > 0) return usable;
  const [why = 'there is none'] = all;
  throw new Error(`it has no key of use: ${String(why)}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it answered with something that is no JSON');
  }
}
