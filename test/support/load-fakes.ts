/** Shared by tests of the load generator: target names, and fakes for wires and servers. */

import type { TargetSpec } from '../../src/load/targets/index.js';
import type { Link, Sink as LinkSink, Target } from '../../src/load/targets/target.js';

export const inertLink: Link = {
  join() {},
  leave: () => true,
  publish() {},
  backfill() {},
  backlog: 0,
  pause() {},
  resume() {},
  probe() {},
  close() {},
  reset() {},
};

export const deafSink: LinkSink = {
  chunk() {},
  open() {},
  joined() {},
  left() {},
  message() {},
  gap() {},
  past() {},
  answered() {},
  refusedPast() {},
  confirmed() {},
  refused() {},
  closed() {},
};

/** A target from flags, over WebSocket by default. */
export const targetSpec = (
  name: TargetSpec['name'],
  url: string,
  more: Partial<TargetSpec> = {},
): TargetSpec => ({ name, url, transport: 'websocket', headers: {}, templates: {}, ...more });

/** Nothing listens there. */
export const FAKE_SPEC = targetSpec('roomcast', 'ws://127.0.0.1:9');

/** A target that numbers messages and supports no positions. */
export const fakeTarget = (more: Partial<Target> = {}): Target => ({
  name: 'fake',
  numbered: true,
  positions: false,
  backfills: true,
  address: { host: '127.0.0.1', port: 9 },
  dial: () => inertLink,
  ...more,
});
