/** The check of a token's type and size, before it is parsed. */
import { Refusal } from '../errors.js';

/** @throws Refusal `token_invalid`, `token_too_big`; the message contains nothing of the token */
export function checkTokenText(token: unknown, maxTokenBytes: number): string {
  if (typeof token !== 'string') {
    throw new Refusal('token_invalid', `token is ${kindOf(token)}; it must be a string.`);
  }
  const bytes = Buffer.byteLength(token);
  if (bytes <= maxTokenBytes) return token;
  throw new Refusal('token_too_big', `The token has ${bytes} bytes; ${maxTokenBytes} are allowed.`);
}

const kindOf = (value: unknown): string =>
  value === undefined ? 'missing' : value === null ? 'null' : `of type ${typeof value}`;
