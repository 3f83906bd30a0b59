/**
 * A token of one's own, signed with a secret: for terminals, tests and load. A server never makes one.
 */
import { SignJWT } from 'jose';

export interface TokenOptions {
  readonly user: string;
  /** What it allows: actions by patterns of rooms. */
  readonly rooms?: Readonly<Record<string, readonly string[]>> | undefined;
  /** How long it is good, in seconds. */
  readonly seconds: number;
  readonly audience?: string | undefined;
  readonly issuer?: string | undefined;
  /** Its own name, by which it can be revoked. */
  readonly tokenId?: string | undefined;
  /** Shown of the user; any JSON. */
  readonly info?: unknown;
}

/** With HS256, and the claims that a server looks at unless it is told otherwise. */
export function signToken(secret: string, options: TokenOptions): Promise<string> {
  const { user, rooms, seconds, audience, issuer, tokenId, info } = options;
  const now = Math.floor(Date.now() / 1000);
  const token = new SignJWT({
    ...(rooms !== undefined && { rooms }),
    ...(info !== undefined && { info }),
  })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(user)
    .setIssuedAt(now)
    .setExpirationTime(now + seconds);
  if (audience !== undefined) token.setAudience(audience);
  if (issuer !== undefined) token.setIssuer(issuer);
  if (tokenId !== undefined) token.setJti(tokenId);
  return token.sign(Buffer.from(secret));
}
