/** The methods that each path supports, for the answer to a request with another one. */
import type { FastifyInstance } from 'fastify';

export class Methods {
  readonly #routes: { readonly pattern: readonly string[]; readonly methods: readonly string[] }[] =
    [];

  /** Records every route added to `app` from here on. */
  watch(app: FastifyInstance): void {
    app.addHook('onRoute', ({ method, url }) => {
      this.#routes.push({ pattern: url.split('/'), methods: [method].flat() });
    });
  }

  /** The methods at `path`; empty if no route matches. */
  at(path: string): string[] {
    const parts = path.split('/');
    const fits = (pattern: readonly string[]) =>
      pattern.length === parts.length &&
      pattern.every((part, i) => (part.startsWith(':') ? parts[i] !== '' : part === parts[i]));
    const methods = this.#routes.filter(({ pattern }) => fits(pattern));
    return methods.length === 0
      ? []
      : [...new Set(methods.flatMap((route) => route.methods)), 'OPTIONS'];
  }
}
