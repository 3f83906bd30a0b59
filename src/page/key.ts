/** The API key of this tab: kept until it is closed, sent in a header and never in a URL. */
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
 * What the API of this server answers, beside this page wherever a proxy has put it.
 * @throws Error with what it says of a refusal
 */
export async function ask<Answer>(path: string): Promise<Answer> {
  return (await call('GET', path)) as Answer;
}

/** Has the API of this server do something. @throws Error as `ask` does */
export async function call(method: 'GET' | 'DELETE', path: string): Promise<unknown> {
  const response = await fetch(path, { method, headers: authorization() });
  if (response.status === 204) return null;
  const body = (await response.json()) as { message?: string };
  if (response.ok) return body;
  throw new Error(body.message ?? `status ${response.status}`);
}
