/** The page cache: how long a page stays, however often it is read. */
import { afterEach, expect, it, vi } from 'vitest';
import { BrokerCalls } from '../../src/broker/calls.js';
import { MemoryBroker } from '../../src/broker/memory.js';
import { Detector, WaitGroup } from '../../src/lock/index.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { defaults } from '../../src/options/config.js';
import { Pages } from '../../src/room/pages.js';
import { Term } from '../../src/room/term.js';
import { freezeClocks } from '../support/virtual.js';

afterEach(() => void vi.useRealTimers());

it('serves messages a room no longer keeps for at most 6 s more, however often they are read', () => {
  freezeClocks();
  const broker = new MemoryBroker({ ...defaults, historyMessages: 10, historyMs: 2000 });
  const asked = vi.spyOn(broker, 'history');
  const { epoch } = broker.subscribe('a');
  const publish = () =>
    broker.publish('a', { data: '1', from: null }, { deadline: Number.POSITIVE_INFINITY });
  publish();
  publish();
  const tasks = new WaitGroup({ name: 'tasks', detector: new Detector({ mode: 'strict' }) });
  const pages = new Pages(new BrokerCalls(broker, 1000, tasks, new Recorder()));
  const place = { name: 'a', term: new Term({ epoch, seq: 0 }, 0), seq: 2 };
  const found: unknown[] = [];
  for (let second = 0; second < 10; second += 1) {
    found.push(pages.find(place, 1));
    // Cached messages are read from the broker once.
    if (found.at(-1) !== null) expect(asked).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(1000);
  }
  expect(found.slice(0, 5)).toEqual([1, 1, 1, 1, 1]);
  expect(found.slice(8)).toEqual([null, null]);
  expect(pages.bytes).toBe(0);
  pages.close();
});
