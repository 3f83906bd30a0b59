/**
 * Which accepted socket lies under one of TLS. Node tells `secureConnection` only the upper one, and the
 * addresses of both say nothing on a unix socket, where all connections have the same.
 *
 * `_parent` is a private field of Node's; `sockets.test.ts` and `proxied.test.ts` fail where it is another.
 */
import type { Socket } from 'node:net';

/** Undefined where `socket` is not of TLS. */
export const underTls = (socket: Socket): Socket | undefined =>
  (socket as { readonly _parent?: Socket })._parent;
