/** HTTP requests for tests: whole answers, and answers still in progress. */
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { Signal } from './signal.js';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface OpenAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The body received so far. */
  readonly text: string;
  /** Resolves once `text` contains `part`, or the response has ended. */
  until(part: string): Promise<void>;
  /** Resolves with the whole body; `aborted` if the response was cut off. */
  readonly ended: Promise<string>;
  /** Closes the connection. */
  abort(): void;
}

export interface Client {
  open(method: string, path: string, options?: RequestOptions): Promise<OpenAnswer>;
  /** Sends a request and waits for the whole response. */
  ask(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  /** Closes idle connections. */
  close(): void;
}

interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

export function httpClient(port: number): Client {
  const agent = new Agent({ keepAlive: true });
  const open = (method: string, path: string, { headers = {}, body = '' }: RequestOptions = {}) =>
    new Promise<OpenAnswer>((resolve, reject) => {
      const changed = new Signal();
      let text = '';
      let isOver = false;
      const req = request({ port, host: '127.0.0.1', method, path, agent, headers }, (res) => {
        res.setEncoding('utf8');
        res.on('data', (chunk: string) => {
          text += chunk;
          changed.fire();
        });
        res.on('error', () => {});
        const ended = new Promise<string>((settle) => {
          res.once('close', () => {
            isOver = true;
            changed.fire();
            settle(res.complete ? text : 'aborted');
          });
        });
        resolve({
          status: res.statusCode ?? 0,
          headers: res.headers,
          get text() {
            return text;
          },
          until: (part) => changed.until(() => isOver || text.includes(part)),
          ended,
          abort: () => req.destroy(),
        });
      });
      req.on('error', reject);
      req.end(body);
    });
  return {
    open,
    async ask(method, path, options) {
      const answer = await open(method, path, options);
      const body = await answer.ended;
      return { status: answer.status, headers: answer.headers, body };
    },
    close: () => agent.destroy(),
  };
}
