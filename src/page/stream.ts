/**
 * Reads the stream of `/v1/live` and reconnects whenever it ends, as long as the page is open. It uses
 * fetch instead of EventSource, so that the API key goes into a header and not into a URL.
 *
 * Not here: handling of the events (`main.ts`).
 */
import type { Hello, Second } from './frame.js';
import { authorization, keepKey, storedKey } from './key.js';

export type State =
  | { readonly is: 'connecting' }
  | { readonly is: 'live' }
  /** The server does not answer. Retries at `retryAt`, in milliseconds since 1970. */
  | { readonly is: 'lost'; readonly since: number; readonly retryAt: number }
  /** `wrong`: the stored key was rejected. */
  | { readonly is: 'locked'; readonly wrong: boolean }
  /** The server refuses the stream. */
  | { readonly is: 'refused'; readonly why: string; readonly retryAt: number };

export interface Listener {
  state(state: State): void;
  hello(hello: Hello): void;
  second(second: Second): void;
}

/** Pauses between attempts, growing. */
const RETRY_MS = [500, 1000, 2000, 3000] as const;
/** Timeout without data after which the connection counts as lost. */
const SILENT_MS = 5000;

export class Stream {
  readonly #listener: Listener;
  #attempts = 0;
  #lostSince = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  /**
   * Connects now, with the key of this tab if there is one. Called at the start, after each pause, and
   * once a key is entered.
   */
  async connect(): Promise<void> {
    clearTimeout(this.#timer);
    const abort = new AbortController();
    const silent = () => abort.abort(new Error('silent'));
    let watch = setTimeout(silent, SILENT_MS);
    try {
      const response = await fetch('v1/live', {
        headers: authorization(),
        cache: 'no-store',
        signal: abort.signal,
      });
      if (response.status === 401) {
        this.#listener.state({ is: 'locked', wrong: storedKey() !== null });
        return;
      }
      if (!response.ok || response.body === null) {
        const why = await whyOf(response);
        this.#retry((retryAt) => ({ is: 'refused', why, retryAt }));
        return;
      }
      for await (const { name, data } of eventsOf(response.body)) {
        clearTimeout(watch);
        watch = setTimeout(silent, SILENT_MS);
        this.#attempts = 0;
        this.#lostSince = 0;
        if (name === 'hello') {
          this.#listener.hello(JSON.parse(data) as Hello);
          this.#listener.state({ is: 'live' });
        } else if (name === 'second') this.#listener.second(JSON.parse(data) as Second);
      }
      this.#lost();
    } catch {
      // A refused, reset, aborted or silent connection are all shown alike.
      this.#lost();
    } finally {
      clearTimeout(watch);
    }
  }

  /** Connects with this key. It is kept until the tab is closed. */
  unlock(key: string): void {
    keepKey(key);
    this.#listener.state({ is: 'connecting' });
    void this.connect();
  }

  #lost(): void {
    this.#lostSince ||= Date.now();
    const since = this.#lostSince;
    this.#retry((retryAt) => ({ is: 'lost', since, retryAt }));
  }

  #retry(state: (retryAt: number) => State): void {
    const wait = RETRY_MS[Math.min(this.#attempts, RETRY_MS.length - 1)] as number;
    this.#attempts += 1;
    this.#listener.state(state(Date.now() + wait));
    this.#timer = setTimeout(() => void this.connect(), wait);
  }
}

/** The message of a refusal. */
async function whyOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { message } = JSON.parse(text) as { message?: string };
    return message ?? `The server answers with status ${response.status}.`;
  } catch {
    // The answer is a proxy's, not ours.
    return `The server answers with status ${response.status}.`;
  }
}

interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** Parses server-sent events. An incomplete event at the end of the stream is discarded. */
async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + decoder.decode(value, { stream: true })).split('\n\n');
    rest = parts.pop() as string;
    for (const part of parts) {
      const lines = part.split('\n');
      const field = (name: string) =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? '';
      yield { name: field('event'), data: field('data') };
    }
  }
}
