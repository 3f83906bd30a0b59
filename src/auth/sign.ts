/**
 * Signs a token with a secret: for the CLI, tests and load. A server never creates one.
 */
import { SignJWT } from 'jose';

export interface TokenOptions {
  readonly user: string;
  /** Permissions: actions by room pattern. */
  readonly rooms?: Readonly<Record<string, readonly string[]>> | undefined;
  /** Lifetime in seconds. */
  readonly seconds: number;
  readonly audience?: string | undefined;
  readonly issuer?: string | undefined;
  /** Id of the token, by which it can be revoked. */
  readonly tokenId?: string | undefined;
  /** Shown in presence lists; any JSON. */
  readonly info?: unknown;
}

/** Signs with HS256, and uses the claims that a server reads by default. */
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
