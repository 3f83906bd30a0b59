import { connect } from 'node:net';
import { ownCpuSeconds } from '../process.js';
import { withServer } from '../scenarios.js';
import { roomcastWorkers } from '../targets.js';

/** Connections open at once. */
const AT_ONCE = 64;

/**
 * CPU time that the primary of two workers needs to hand over a connection.
 *
 * @param {number} seconds
 */
export function accepts(seconds) {
  return withServer(roomcastWorkers(2), async ({ port, pid }) => {
    const until = performance.now() + seconds * 1000;
    let count = 0;
    const before = ownCpuSeconds(pid);
    const connecting = async () => {
      while (performance.now() < until) {
        await answered(port);
        count += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, connecting));
    const used = ownCpuSeconds(pid) - before;
    return { usEach: (used * 1e6) / count, madeASecond: count / seconds };
  });
}

/**
 * Resolves once a worker has answered on a new connection.
 *
 * @param {number} port
 * @returns {Promise<void>}
 */
function answered(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.once('data', () => socket.destroy());
    socket.write('GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n');
  });
}
