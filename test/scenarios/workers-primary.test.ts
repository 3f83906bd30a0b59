/** Workers whose primary closes, starts or dies at an awkward moment. */
import { expect, test } from 'vitest';
import { run } from '../support/process.js';
import { connectReading } from '../support/reading-peer.js';
import { WorkersServer } from '../support/workers.js';

const QUICK = ['--drain-ms', '0', '--lame-duck-ms', '0'];

test('a shutdown while a worker starts completes at once, and reports no worker as killed', async () => {
  const workers = await WorkersServer.start(2, ...QUICK, '--shutdown-grace-ms', '600000');
  const { server } = workers;
  server.child.kill('SIGHUP');
  // The new worker does not listen to the primary yet.
  await server.line('replacing all workers, one by one');
  server.child.kill('SIGTERM');
  expect(await server.exited).toBe(0);
  expect(server.log.find(({ msg }) => msg === 'closed')).toMatchObject({ killed: [] });
  expect(server.log.filter(({ level }) => Number(level) > 40)).toEqual([]);
});

test('workers that were stopped while their primary died still drain their members', async () => {
  const workers = await WorkersServer.start(2, ...QUICK);
  const peers = [await connectReading('websocket', workers.url)];
  peers.push(await connectReading('websocket', workers.url));
  for (const slot of [0, 1]) workers.kill(slot, 'SIGSTOP');
  workers.server.child.kill('SIGKILL');
  // By now each has a message to send to the primary.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  for (const slot of [0, 1]) workers.kill(slot, 'SIGCONT');
  for (const peer of peers) expect(await peer.closed).toBe(4200);
});

test('a worker that dies before the others serve is replaced', async () => {
  // The second worker reports `serving` only once the first has a successor.
  const late = `
    import cluster from 'node:cluster';
    if (cluster.worker?.id === 2) {
      const send = process.send.bind(process);
      let hold = null;
      process.send = (message, ...more) => {
        if (message.type === 'serving') hold = () => send(message, ...more);
        else return send(message, ...more);
      };
      process.on('message', ({ type }) => type === 'table' && hold?.());
    }`;
  const flags = ['--port', '0', '--workers', '2', ...QUICK];
  const server = run(['serve', ...flags], {
    node: ['--import', `data:text/javascript,${encodeURIComponent(late)}`],
  });
  const serving = () =>
    server.log.filter(({ msg, worker }) => msg === 'a worker serves' && worker === 0);
  const slowly = { timeout: 30_000 };
  await expect.poll(() => serving().length, slowly).toBe(1);
  process.kill(Number(serving()[0]?.['pid']), 'SIGKILL');
  await server.line('serving');
  await expect.poll(() => serving().length, slowly).toBe(2);
  server.child.kill('SIGTERM');
  expect(await server.exited).toBe(0);
});
