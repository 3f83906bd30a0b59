/** The HTTP API, loaded and built when somebody first needs it: an app that has rooms and nothing else never does. */
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

  /** Resolves once it can answer. */
  prepare(): Promise<HttpApp> {
    this.#built ??= this.#build();
    return this.#built;
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    if (this.#api !== null) this.#api.handle(request, response);
    else
      this.prepare().then(
        (built) => built.handle(request, response),
        // That it cannot be built is told to who waits for it, too.
        () => response.destroy(),
      );
  }

  /** What there is to close; nothing where nobody needed it, or it could not be built. */
  async ifBuilt(): Promise<HttpApp | null> {
    try {
      return await this.#built;
    } catch {
      // Told to who asked for it.
      return null;
    }
  }

  async #build(): Promise<HttpApp> {
    const { buildHttp } = await import('./http/app.js');
    this.#api = await buildHttp(this.#deps);
    return this.#api;
  }
}
