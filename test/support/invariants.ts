/** Invariants of a core that can be checked from outside. `core.ts` decides when. */
import { BATCH_BYTES } from '../../src/room/outbox.js';
import type { Core } from './core.js';
import { clocks } from './fake-transport.js';

/** Members are checked for stalls every 50 ms. */
const LATE_MS = 100;
/** A gap, its framing, and other small frames in a full batch. */
const SLACK_BYTES = 512;

/** V10: fanned out = delivered + dropped + abandoned + queued. */
export function checkCounts({ hub, observer, delivered }: Core): void {
  const { totals, droppedBy } = observer;
  const dropped = droppedBy.reduce((sum, count) => sum + count, 0);
  let queued = 0;
  for (const member of hub.members.values()) queued += member.queuedMessages;
  let behind = 0;
  for (const member of hub.behind) behind += member.queuedMessages;
  // A scrape only asks members that are behind.
  if (queued !== behind) throw new Error(`V10: ${queued} queued, ${behind} by those behind`);
  const sum = delivered + dropped + totals.abandoned + queued;
  if (totals.fannedOut !== sum) {
    throw new Error(
      `V10: ${totals.fannedOut} fanned out, ${delivered} delivered + ${dropped} dropped + ${totals.abandoned} abandoned + ${queued} queued`,
    );
  }
}

/** V3: no peer holds more than the bounds allow. */
export function checkBounds({ config, hub, peers }: Core): void {
  for (const { member, transport, session } of peers) {
    const outstanding = transport.outstanding?.length ?? 0;
    const say = (what: string) => new Error(`V3: ${member.id}: ${what}`);
    const largest = Math.max(BATCH_BYTES, config.maxMessageBytes) + SLACK_BYTES;
    if (transport.largestBatch > largest) throw say(`batch of ${transport.largestBatch}`);
    // One queue for each policy.
    const policies = 1 + Object.keys(config.namespaces).length;
    const bytes = policies * config.queueBytes + config.controlBytes + outstanding;
    if (member.queuedBytes > bytes) throw say(`${member.queuedBytes} bytes of ${bytes}`);
    const isGone = session.hasClosed;
    if (isGone && (member.queuedBytes > 0 || member.queuedMessages > 0)) throw say('holds on');
    if (isGone && hub.members.has(member.id)) throw say('is gone and a member');
  }
}

/** Invariants of peers that have received everything available. */
export function checkDrained({ open, broker, hub }: Core): void {
  const read = hub.replays.size + hub.backfills.size;
  if (read > 0) throw new Error(`${read} replays or backfills go on`);
  for (const peer of open) {
    const { member } = peer;
    const say = (what: string) => new Error(`${member.id} (${peer.transport.name}): ${what}`);
    if (!member.outbox.isDrained) throw say('is not drained');
    const [answered, asked] = peer.replies;
    if (answered !== asked) throw say(`V5: ${answered} replies to ${asked} commands`);
    if (member.health !== peer.health) {
      throw say(`is ${member.health} and was told ${peer.health}`);
    }
    const rooms = [...member.subscriptions.keys()].sort().join();
    if (rooms !== [...peer.rooms.keys()].sort().join()) throw say(`is in ${rooms}`);
    for (const [name, { epoch, next }] of peer.rooms) {
      const { delivered } = broker.topics.get(name)!;
      if (epoch !== delivered.epoch || next !== delivered.seq + 1) {
        const ends = JSON.stringify({ epoch, seq: next - 1 });
        throw say(`V4: ${name} ends at ${ends} of ${JSON.stringify(delivered)}`);
      }
    }
  }
}

/**
 * A member that reads nothing is evicted in time, and no other is. `isQuiet`: no turn of the loop is
 * due in which an eviction could be carried out.
 */
export function checkStalls({ config, peers }: Core, isQuiet: boolean): void {
  const { stallAfterMs } = config;
  for (const peer of peers) {
    const { member, transport, drained } = peer;
    const say = (what: string) => new Error(`${member.id} (${transport.name}): ${what}`);
    const end = transport.isOpen ? performance.now() : transport.closedAt;
    const stalled = end - Math.max(transport.progress.now, drained.now);
    // An eviction decided during a stall is carried out even if the stall is over.
    if (stalled >= stallAfterMs || peer.policies.has('disconnect')) peer.mayBeEvicted = true;
    if (transport.closed === 'slow_consumer' && !peer.mayBeEvicted) {
      throw say(`evicted after ${stalled} ms`);
    }
    if (!transport.isOpen) continue;
    if (member.outbox.isDrained) peer.drained = clocks();
    if (member.outbox.isDrained || !isQuiet) peer.judgedSince = Date.now();
    const stalledMs = Date.now() - Math.max(transport.progress.date, peer.judgedSince);
    if (stalledMs > stallAfterMs + LATE_MS) {
      throw say(`has taken nothing for ${stalledMs} ms and is there`);
    }
  }
}
