/** The API key of this tab. Kept until the tab is closed; sent in a header, never in a URL. */
const KEY = 'roomcast.key';

export function storedKey(): string | null {
  return sessionStorage.getItem(KEY);
}

export function keepKey(key: string): void {
  sessionStorage.setItem(KEY, key);
}

/** The headers of a request to the HTTP API. */
export function authorization(): Record<string, string> {
  const key = storedKey();
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

/**
 * Queries the API of this server. The path is relative, so it also works behind a proxy with a path
 * prefix.
 * @throws Error with the message of a refusal
 */
export async function ask<Answer>(path: string): Promise<Answer> {
  return (await call('GET', path)) as Answer;
}

/**
 * Sends a request to the API of this server.
 * @throws Error as `ask` does
 */
export async function call(method: 'GET' | 'DELETE', path: string): Promise<unknown> {
  const response = await fetch(path, { method, headers: authorization() });
  if (response.status === 204) return null;
  const body = (await response.json()) as { message?: string };
  if (response.ok) return body;
  throw new Error(body.message ?? `status ${response.status}`);
}
