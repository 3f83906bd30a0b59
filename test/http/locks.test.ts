import { afterEach, beforeEach, expect, it } from 'vitest';
import { RWLock } from '../../src/lock/index.js';
import { type Served, serve } from './support.js';

let server: Served;
beforeEach(async () => {
  server = await serve();
});
afterEach(() => server.stop());

it('lists held and awaited locks', async () => {
  const lock = new RWLock({ name: 'test.http', detector: server.detector });
  const guard = await lock.write('holder');
  const waiting = lock.read('waiter', { timeoutMs: 60_000 });
  const { status, body } = await server.ask('GET', '/v1/locks');
  expect(status).toBe(200);
  const { held, pending, edges } = body as Record<string, Record<string, unknown>[]>;
  expect(held).toContainEqual(
    expect.objectContaining({ site: 'holder', mode: 'write', ageMs: expect.any(Number) }),
  );
  expect(pending).toContainEqual(
    expect.objectContaining({ site: 'waiter', mode: 'read', timeoutMs: 60_000 }),
  );
  expect(edges?.length).toBeGreaterThan(0);
  guard.release();
  (await waiting).release();
  expect((await server.ask('GET', '/v1/locks')).text).not.toContain('waiter');
});
