/** Counting of deliveries: healthy and slow members separately, with their bytes. */
import { expect, it } from 'vitest';
import { CONSUMERS } from '../../src/metrics/catalogue/delivery.js';
import { TRANSPORTS } from '../../src/transport/transport.js';
import { startCore } from '../support/virtual.js';

it('counts deliveries to a member that is not healthy yet as slow, with their bytes', async () => {
  const { core, settle, pass } = startCore({ config: { recoverAfterMs: 60_000 } });
  const peers = [core.connect(), core.connect()];
  for (const peer of peers) peer.say({ type: 'join', room: 'a' });
  await settle();
  const [healthy, slow] = peers;
  slow?.transport.stall();
  void core.hub.publish(null, 'a', '"late"');
  await pass(1000);
  expect([healthy?.member.health, slow?.member.health]).toEqual(['healthy', 'lagging']);
  slow?.transport.resume();
  await settle();

  const transport = TRANSPORTS.indexOf('websocket');
  const deliveries = () =>
    CONSUMERS.map((_, i) => {
      const { counts, bounds } = core.observer.deliverySeconds;
      const row = transport * CONSUMERS.length + i;
      return counts
        .slice(row * bounds.length, (row + 1) * bounds.length)
        .reduce((sum, count) => sum + count, 0);
    });
  const before = deliveries();
  const bytes = core.observer.sentBytesBy[transport] as number;
  // Nothing waits and the kernel takes everything at once, so the room counts for its members.
  void core.hub.publish(null, 'a', '"now"');
  await settle();
  expect(slow?.member.health).toBe('lagging');
  expect(deliveries().map((count, i) => count - (before[i] as number))).toEqual([1, 1]);
  const event = slow?.transport.events.at(-1);
  expect(event).toMatchObject({ type: 'message', data: 'now' });
  // The same frame for both: a two-byte header and the text.
  const size =
    Buffer.byteLength(JSON.stringify(event)) + (JSON.stringify(event).length > 125 ? 4 : 2);
  expect((core.observer.sentBytesBy[transport] as number) - bytes).toBe(2 * size);
});
