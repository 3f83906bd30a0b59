/** The checked claims of an authenticated user, whatever their source. */
import { Refusal } from '../errors.js';
import type { Action, Info } from '../room/identity.js';

export interface Claims {
  readonly user: string;
  /** Milliseconds since 1970, like `issuedAt`; infinite: never. */
  readonly expiresAt: number;
  readonly issuedAt: number | null;
  readonly tokenId: string | null;
  /** Shown in presence lists; undefined: nothing. */
  readonly info: Info | undefined;
  /** Permissions in addition to those of the namespace; must not throw. */
  may(action: Action, room: string): boolean;
}

/** @throws Refusal `token_invalid` if the value is not JSON or exceeds `maxBytes` */
export function infoOf(value: unknown, maxBytes: number): Info | undefined {
  if (value === undefined || value === null) return undefined;
  const text = textOf(value);
  if (text === undefined) throw new Refusal('token_invalid', 'info cannot be written as JSON.');
  const bytes = Buffer.byteLength(text);
  if (bytes <= maxBytes) return { value: JSON.parse(text), text };
  throw new Refusal('token_invalid', `info has ${bytes} bytes as JSON; ${maxBytes} are allowed.`);
}

function textOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
