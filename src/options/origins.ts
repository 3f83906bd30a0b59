/** Origins as options have them: what a browser could send as `Origin`, and nothing else (V14). */

/** Schemes that a page never has as its origin: it has the other one, or `null`. */
const NEVER_A_PAGE: ReadonlySet<string> = new Set([
  'ws:',
  'wss:',
  'ftp:',
  'file:',
  'data:',
  'blob:',
]);

/** Whether a browser could send this as `Origin`: of a page on the web nothing but scheme, host, port. */
export function isOrigin(text: string): boolean {
  if (text === 'null') return true;
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/\s,?#@*A-Z]+$/.test(text) || !URL.canParse(text)) return false;
  const { protocol, origin } = new URL(text);
  if (NEVER_A_PAGE.has(protocol)) return false;
  return !/^https?:/.test(text) || origin === text;
}

/** The origin that was probably meant, or null. */
export function originOf(text: string): string | null {
  const asPage = text.replace(/^ws(s?):/i, 'http$1:');
  if (!URL.canParse(asPage)) return null;
  const { origin } = new URL(asPage);
  return isOrigin(origin) && origin !== 'null' ? origin : null;
}
