/**
 * One fetch of a JWKS. V3: bounded in time, in bytes and in number of keys, whatever the server answers;
 * redirects and links are not followed.
 *
 * Not here: when to fetch (`jwks.ts`).
 */
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import { jwkKey, type Key } from './keys.js';
import { within } from './within.js';

/** Time limit for the complete answer, in milliseconds. */
const TIMEOUT_MS = 5000;
const MAX_BYTES = 256 * 1024;
const MAX_KEYS = 64;

/** @throws Error that says why there are no keys, as a rejection */
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

/** Skips keys for other uses. */
function keysOf(text: string): readonly Key[] {
  const parsed = parse(text);
  const { keys } = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as {
    keys?: unknown;
  };
  if (!Array.isArray(keys)) throw new Error('the answer has no list of keys');
  if (keys.length > MAX_KEYS)
    throw new Error(`it has ${keys.length} keys; ${MAX_KEYS} are allowed`);
  const all = keys.map(jwkKey);
  const usable = all.filter((key) => typeof key !== 'string');
  if (usable.length > 0) return usable;
  const [why = 'the list is empty'] = all;
  throw new Error(`it has no usable key: ${String(why)}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('the answer is not JSON');
  }
}
