/** A token as a peer sends it, before anybody reads it. */
import { Refusal } from '../errors.js';

/** @throws Refusal `token_invalid`, `token_too_big`; nothing of the token is in it */
export function checkTokenText(token: unknown, maxTokenBytes: number): string {
  if (typeof token !== 'string') {
    throw new Refusal('token_invalid', `token is ${kindOf(token)}; it has to be a string.`);
  }
  const bytes = Buffer.byteLength(token);
  if (bytes <= maxTokenBytes) return token;
  throw new Refusal('token_too_big', `The token has ${bytes} bytes; ${maxTokenBytes} are allowed.`);
}

const kindOf = (value: unknown): string =>
  value === undefined ? 'missing' : value === null ? 'null' : `of type ${typeof value}`;
