/** The public SockJS client, on one transport. */
import SockJS from 'sockjs-client';

/** In which it has to have opened; by itself it guesses, and on a busy machine guesses too short. */
export const OPEN_WITHIN_MS = 60_000;

export const openSockJs = (url: string, transport: string) =>
  new SockJS(url, null, { transports: [transport], timeout: OPEN_WITHIN_MS });
