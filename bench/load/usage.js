import { cpuSeconds, machineCpuSeconds } from '../process.js';

/**
 * @typedef {object} Usage
 * @property {number} elapsed seconds
 * @property {number} serverSeconds CPU time of the server
 * @property {number} serverCores the same per second
 * @property {number} loadCores of this process; near 1, the load was the bottleneck
 * @property {number} foreignCores of all other processes, which disturb both
 */

/**
 * Measures the CPU that the server, this process and all others use from now on.
 *
 * @param {number} pid of the server
 * @returns {() => Usage} to be called at the end
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
