/** The public SockJS client, on one transport. */
import SockJS from 'sockjs-client';

/** Time to open. Its own estimate is too short on a busy machine. */
export const OPEN_WITHIN_MS = 60_000;

export const openSockJs = (url: string, transport: string) =>
  new SockJS(url, null, { transports: [transport], timeout: OPEN_WITHIN_MS });
