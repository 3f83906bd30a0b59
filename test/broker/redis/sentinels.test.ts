/** A new primary is found through the Sentinels, reported as a reset, and accounted for. */
import { afterEach, describe, expect, it } from 'vitest';
import { audit } from '../../support/accounting.js';
import { BrokerRun } from '../../support/broker-run.js';
import { RedisNode } from '../../support/redis-node.js';
import { hasRedis, type RedisServer, startRedis } from '../../support/redis-server.js';
import { NamedBy, urlOf, Watched } from '../../support/sentinels.js';

const ROOMS = ['a', 'b', 'c'];

describe.skipIf(!hasRedis)('Sentinels', () => {
  const closing: { close(): unknown }[] = [];
  const kept = <What extends { close(): unknown }>(what: What) => {
    closing.push(what);
    return what;
  };
  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close();
  });

  const node = async (url: string) => {
    const made = await new RedisNode({ url, clusterName: 'c' }).up();
    kept(made.broker);
    return made;
  };
  /** Publishes until a message is accepted and all members have it. */
  const last = async (run: BrokerRun, { broker }: RedisNode, nodes: readonly RedisNode[]) => {
    await run.settled();
    for (const room of ROOMS) {
      await expect.poll(() => run.publish(broker, room), { interval: 20 }).toBe(true);
    }
    await Promise.all(nodes.map((each) => each.up()));
    await Promise.all(nodes.map((each) => each.broker.settled()));
    for (const each of nodes) {
      await each.until(() => ROOMS.every((room) => each.broker.state(room) === 'up'));
    }
  };

  it('a primary killed under load: losses are reported, and the account is consistent', async () => {
    const watched = kept(await Watched.start());
    const nodes = [await node(watched.url), await node(watched.url)];
    const run = new BrokerRun();
    for (const [i, { broker }] of nodes.entries()) await run.join(broker, `${i}`, ROOMS);
    let isOver = false;
    let killedAt = 0;
    let acceptedAfterMs = 0;
    const load = async ({ broker }: RedisNode) => {
      for (let n = 0; !isOver; n += 1) {
        const wasAccepted = await run.publish(broker, ROOMS[n % ROOMS.length] as string);
        if (wasAccepted && killedAt > 0 && acceptedAfterMs === 0) {
          acceptedAfterMs = performance.now() - killedAt;
        }
        await new Promise<void>((resolve) => setTimeout(resolve, 1));
      }
    };
    const under = nodes.map(load);
    await expect.poll(() => run.published.length, { interval: 5 }).toBeGreaterThan(200);
    // No replica has some of its accepted messages, as after the loss of a machine.
    watched.replica.signal('SIGSTOP');
    await watched.primary.ask('CLIENT', 'KILL', 'TYPE', 'replica');
    const before = run.published.length;
    await expect.poll(() => run.published.length, { interval: 5 }).toBeGreaterThan(before + 50);
    await watched.primary.kill();
    killedAt = performance.now();
    watched.replica.signal('SIGCONT');
    await expect.poll(() => acceptedAfterMs, { interval: 20 }).toBeGreaterThan(0);
    isOver = true;
    await Promise.all(under);
    await last(run, nodes[0] as RedisNode, nodes);
    expect(audit(run.published, run.members)).toEqual([]);
    for (const { told, room } of run.members) {
      const resets = told.flatMap((each) => (each.type === 'reset' ? [each] : []));
      expect([room, resets.length]).toEqual([room, 1]);
      // Members saw more than survived.
      expect(resets[0]?.position.seq).toBeLessThan(resets[0]?.was.seq as number);
    }
  }, 60_000);

  it('leaves a primary that the Sentinels have replaced, even if it still answers', async () => {
    const [old, next] = [await startRedis(), await startRedis()].map(kept) as [
      RedisServer,
      RedisServer,
    ];
    const named = [];
    for (let n = 0; n < 3; n += 1) named.push(kept(await NamedBy.start(old.port)));
    const [a, b] = [await node(urlOf(named)), await node(urlOf(named))];
    const run = new BrokerRun();
    await run.join(a.broker, 'a', ROOMS);
    await run.join(b.broker, 'b', ROOMS);
    for (let n = 0; n < 30; n += 1) run.publish(a.broker, ROOMS[n % 3] as string);
    await run.settled();
    // One of three does not answer: it may be the isolated one.
    (named[0] as NamedBy).names = next.port;
    await new Promise<void>((resolve) => setTimeout(resolve, 1500));
    expect([a.broker.counts.links, b.broker.counts.links]).toEqual([1, 1]);
    (named[1] as NamedBy).names = next.port;
    await a.until(() => a.broker.counts.links === 2);
    await b.until(() => b.broker.counts.links === 2);
    for (let n = 0; n < 30; n += 1) run.publish(b.broker, ROOMS[n % 3] as string);
    await last(run, a, [a, b]);
    expect(audit(run.published, run.members)).toEqual([]);
    expect(a.causes.map(({ message }) => message)).toEqual(['it is no longer the primary']);
  });

  it('two primaries at once have different epochs, and a returning node gets a reset', async () => {
    // A replica continues as the new primary; the old one is isolated with one of the nodes.
    const old = kept(await startRedis());
    const next = kept(await startRedis('--replicaof', '127.0.0.1', String(old.port)));
    const cutOff = kept(await NamedBy.start(old.port));
    const others = kept(await NamedBy.start(old.port));
    const [left, moved] = [await node(urlOf([cutOff])), await node(urlOf([others]))];
    const run = new BrokerRun();
    await run.join(left.broker, 'left', ROOMS);
    await run.join(moved.broker, 'moved', ROOMS);
    for (let n = 0; n < 30; n += 1) run.publish(left.broker, ROOMS[n % 3] as string);
    await run.settled();
    await expect
      .poll(async () => String(await next.ask('INFO', 'replication')))
      .toContain('master_link_status:up');
    await next.ask('REPLICAOF', 'NO', 'ONE');
    others.names = next.port;
    await moved.until(() => moved.broker.counts.links === 2);
    for (let n = 0; n < 30; n += 1) {
      run.publish(left.broker, ROOMS[n % 3] as string);
      run.publish(moved.broker, ROOMS[n % 3] as string);
    }
    await run.settled();
    cutOff.names = next.port;
    await left.until(() => left.broker.counts.links === 2);
    await last(run, left, [left, moved]);
    expect(audit(run.published, run.members)).toEqual([]);
    const resets = run.members.flatMap(({ name, told }) =>
      told.flatMap((each) => (each.type === 'reset' ? [name] : [])),
    );
    expect(resets.sort()).toEqual(['left', 'left', 'left', 'moved', 'moved', 'moved']);
  });

  it('reports the cause: no Sentinel answers, or none knows the name', async () => {
    const nobody = kept(await NamedBy.start(null));
    const unknown = new RedisNode({ url: urlOf([nobody]), clusterName: 'c' });
    kept(unknown.broker);
    await unknown.until(() => unknown.causes.length > 0);
    expect(unknown.causes[0]?.message).toBe('the Sentinels know no primary called rooms');
    nobody.close();
    const silent = new RedisNode({ url: urlOf([nobody]), clusterName: 'c' });
    kept(silent.broker);
    await silent.until(() => silent.causes.length > 0);
    expect(silent.causes[0]?.message).toMatch(/^no Sentinel answers \(127\.0\.0\.1:\d+: .+\)$/);
    await expect(
      Promise.resolve().then(() =>
        silent.broker.publish('a', { data: '1', from: null }, { deadline: performance.now() + 50 }),
      ),
    ).rejects.toMatchObject({ code: 'broker_unavailable' });
  });
});
