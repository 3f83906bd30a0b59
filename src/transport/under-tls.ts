/**
 * Finds the accepted socket under a TLS socket. Node passes only the TLS socket to `secureConnection`,
 * and addresses do not identify it on a unix socket, where all connections have the same.
 *
 * `_parent` is a private field of Node; `sockets.test.ts` and `proxied.test.ts` fail if it changes.
 */
import type { Socket } from 'node:net';

/** Undefined if `socket` is not a TLS socket. */
export const underTls = (socket: Socket): Socket | undefined =>
  (socket as { readonly _parent?: Socket })._parent;
