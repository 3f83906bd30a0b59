import { cpuSeconds, machineCpuSeconds } from '../process.js';

/**
 * @typedef {object} Usage
 * @property {number} elapsed seconds
 * @property {number} serverSeconds of CPU
 * @property {number} serverCores the same a second
 * @property {number} loadCores of this process: near 1, this side was the limit
 * @property {number} foreignCores of everything else on the machine, which disturbs both
 */

/**
 * What the server, this process and all others use of the CPU from now on.
 *
 * @param {number} pid of the server
 * @returns {() => Usage} called at the end
 */
export function usageOf(pid) {
  const began = performance.now();
  const server = cpuSeconds(pid);
  const machine = machineCpuSeconds();
  const own = process.cpuUsage();
  return () => {
    const elapsed = (performance.now() - began) / 1000;
    const serverSeconds = cpuSeconds(pid) - server;
    const { user, system } = process.cpuUsage(own);
    const loadSeconds = (user + system) / 1e6;
    const foreignSeconds = machineCpuSeconds() - machine - serverSeconds - loadSeconds;
    return {
      elapsed,
      serverSeconds,
      serverCores: serverSeconds / elapsed,
      loadCores: loadSeconds / elapsed,
      foreignCores: foreignSeconds / elapsed,
    };
  };
}
