/** What is known of somebody who has said who they are, wherever it comes from; all of it is checked. */
import { Refusal } from '../errors.js';
import type { Action, Info } from '../room/identity.js';

export interface Claims {
  readonly user: string;
  /** Milliseconds since 1970, as the one below; infinite: it does not end. */
  readonly expiresAt: number;
  readonly issuedAt: number | null;
  readonly tokenId: string | null;
  /** What is shown of the user; undefined: nothing. */
  readonly info: Info | undefined;
  /** What it is granted beside what everybody may; does not throw. */
  may(action: Action, room: string): boolean;
}

/** @throws Refusal `token_invalid` for what is no JSON, or has more bytes than are allowed */
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
