// Shared by all runners: runs the app with one member that stops reading, and returns what it showed.
import { startTestServer } from 'roomcast/testing';
import { watchScore } from './score.mjs';

export async function shownToSlowReader() {
  const server = await startTestServer({ queueMessages: 2 });
  const shown = [];
  let changed = () => {};
  const stop = watchScore(server.url, (text) => {
    shown.push(text);
    changed();
  });
  const shows = async (text) => {
    while (shown.at(-1) !== text) await new Promise((resolve) => (changed = resolve));
  };
  try {
    await shows('no score yet');
    const resume = server.stall(server.members()[0].id);
    for (const score of ['1:0', '1:1', '2:1', '2:2', '3:2']) {
      await server.publish('score', score);
      await new Promise(setImmediate);
    }
    resume();
    await shows('3:2');
    return shown;
  } finally {
    stop();
    await server.close();
  }
}
