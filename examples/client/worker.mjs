// A worker: takes jobs from one room in order and publishes the results to another, across lost
// connections. Node 22 has a WebSocket; on earlier versions it comes from `ws`.
import { connect } from 'roomcast-client';
import { events } from 'roomcast-client/events';
import { WebSocket } from 'ws';

const client = connect(process.env.URL ?? 'ws://127.0.0.1:8080/ws', {
  WebSocket: (url) => new WebSocket(url),
});
const jobs = client.room('jobs');
const results = client.room('results');
process.once('SIGTERM', () => client.close({ drainMs: 2000 }));
client.on('state', ({ state }) => console.log(state));

results.join();
const incoming = events(jobs);
jobs.join();
for await (const event of incoming) {
  if (event.type === 'gap') console.log(`lost ${event.count ?? 'some'} jobs: ${event.reason}`);
  if (event.type !== 'message') continue;
  const { a, b } = event.data;
  results
    .publish({ job: event.seq, sum: a + b })
    .catch(({ code, retryable }) => console.log(`result not published: ${code}, ${retryable}`));
}
