/** Origins in options: only what a browser can send as `Origin` is allowed (V14). */

/** Schemes that are never the origin of a page: its origin is that of http(s), or `null`. */
const NEVER_A_PAGE: ReadonlySet<string> = new Set([
  'ws:',
  'wss:',
  'ftp:',
  'file:',
  'data:',
  'blob:',
]);

/** Whether a browser could send this as `Origin`: for a page on the web, scheme, host and port only. */
export function isOrigin(text: string): boolean {
  if (text === 'null') return true;
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/\s,?#@*A-Z]+$/.test(text) || !URL.canParse(text)) return false;
  const { protocol, origin } = new URL(text);
  if (NEVER_A_PAGE.has(protocol)) return false;
  return !/^https?:/.test(text) || origin === text;
}

/** The origin that was probably meant; null if unclear. */
export function originOf(text: string): string | null {
  const asPage = text.replace(/^ws(s?):/i, 'http$1:');
  if (!URL.canParse(asPage)) return null;
  const { origin } = new URL(asPage);
  return isOrigin(origin) && origin !== 'null' ? origin : null;
}
