/** The HTTP API, loaded and built on first use: an app that only uses rooms never loads it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpApp } from './http/app.js';
import type { HttpDeps } from './http/deps.js';

export class LazyApi {
  readonly #deps: HttpDeps;
  #api: HttpApp | null = null;
  #built: Promise<HttpApp> | null = null;

  constructor(deps: HttpDeps) {
    this.#deps = deps;
  }

  /** Resolves once the API can answer. */
  prepare(): Promise<HttpApp> {
    this.#built ??= this.#build();
    return this.#built;
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    if (this.#api !== null) this.#api.handle(request, response);
    else
      this.prepare().then(
        (built) => built.handle(request, response),
        // The error is reported to the caller of `prepare`.
        () => response.destroy(),
      );
  }

  /** The API to close; null if it was never needed or could not be built. */
  async ifBuilt(): Promise<HttpApp | null> {
    try {
      return await this.#built;
    } catch {
      // Reported to the caller of `prepare`.
      return null;
    }
  }

  async #build(): Promise<HttpApp> {
    const { buildHttp } = await import('./http/app.js');
    this.#api = await buildHttp(this.#deps);
    return this.#api;
  }
}
