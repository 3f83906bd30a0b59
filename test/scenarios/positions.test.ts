/**
 * Positions across connections (V17): a member that returns with a position misses nothing that is not
 * reported, over real connections on every transport, also without history.
 */
import { describe, expect, test } from 'vitest';
import type { Position } from '../../src/protocol/events.js';
import { TRANSPORTS } from '../../src/transport/transport.js';
import type { Received } from '../support/fake-transport.js';
import { connectReading, type ReadingPeer } from '../support/reading-peer.js';
import { serve } from '../support/server.js';

const ROOM = 'chat:lobby';

/** Joins, and resolves with the answer; with a position it needs no id. */
async function join(peer: ReadingPeer, since?: Position) {
  const command = since === undefined ? { id: 1 } : { since };
  peer.say({ type: 'join', room: ROOM, ...command });
  const isAnswer = ({ type }: Received) => type === 'joined';
  await peer.until(() => peer.events.some(isAnswer));
  return peer.events.find(isAnswer) as Received & { type: 'joined' };
}

/** Messages by number, gaps by range and reason. */
const told = ({ events }: ReadingPeer) =>
  events.flatMap<number | string>((event) => {
    if (event.type === 'message') return [event.seq];
    if (event.type === 'gap') return [`${event.from}-${event.to} ${event.reason}`];
    return [];
  });

describe.each(TRANSPORTS)('over %s', (name) => {
  test('a returning member is told exactly what it missed, without history', async () => {
    const server = await serve();
    const publish = async (count: number) => {
      for (let n = 0; n < count; n += 1) await server.publish(ROOM, n);
    };
    // Another member stays, so that the room does.
    const other = await connectReading('websocket', server.url);
    await join(other);
    const first = await connectReading(name, server.url);
    const { epoch } = await join(first);
    await publish(3);
    await first.until(() => told(first).length === 3);
    first.say({ type: 'leave', id: 2, room: ROOM });
    await first.until(() => first.events.some(({ type }) => type === 'left'));
    await publish(4);

    const back = await connectReading(name, server.url);
    const joined = await join(back, { epoch, seq: 3 });
    expect(joined).toMatchObject({ seq: 7, recover: { result: 'partial', from: 4, to: 7 } });
    await publish(1);
    await back.until(() => told(back).length === 2);
    expect(told(back)).toEqual(['4-7 expired', 8]);
    expect(back.events.map(({ type }) => type)).toEqual(['welcome', 'joined', 'gap', 'message']);
  });
});

test('positions that cannot be resumed are answered as such, also in idle rooms', async () => {
  const server = await serve();
  const first = await connectReading('websocket', server.url);
  const { epoch } = await join(first);
  for (let n = 0; n < 5; n += 1) await server.publish(ROOM, n);
  await first.until(() => told(first).length === 5);
  first.say({ type: 'leave', id: 2, room: ROOM });
  await first.until(() => first.events.some(({ type }) => type === 'left'));
  // The room is empty, and its numbers continue.
  await server.publish(ROOM, 'missed');

  const recovered = async (since: Position) =>
    (await join(await connectReading('websocket', server.url), since)).recover;
  expect(await recovered({ epoch, seq: 6 })).toEqual({ result: 'complete' });
  expect(await recovered({ epoch, seq: 5 })).toEqual({ result: 'partial', from: 6, to: 6 });
  expect(await recovered({ epoch, seq: 7 })).toEqual({ result: 'ahead' });

  // A restarted server knows no earlier epoch, and says so.
  const restarted = await serve();
  const back = await connectReading('websocket', restarted.url);
  const joined = await join(back, { epoch, seq: 6 });
  expect(joined).toMatchObject({ seq: 0, recover: { result: 'epoch_changed' } });
  expect(joined.epoch).not.toBe(epoch);
});

test('a server announces that it supports positions and keeps no history', async () => {
  const server = await serve();
  const peer = await connectReading('websocket', server.url);
  expect(peer.events[0]).toMatchObject({ features: expect.arrayContaining(['since']) });
  peer.say({ type: 'join', room: ROOM, last: 5 });
  await peer.until(() => peer.events.length === 2);
  expect(peer.events[1]).toMatchObject({ type: 'error', code: 'not_enabled' });
});
