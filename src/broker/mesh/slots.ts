/**
 * Which worker gives a room its order: a hash of its name over the slots. How many slots there are is
 * fixed while a server runs, and a slot outlives the worker in it, so that the rest of a division is
 * enough.
 */

/** The slot of a name, from 0; the same in every process. */
export function slotOf(name: string, slots: number): number {
  // FNV-1a, and the last steps of MurmurHash3, which spread names that differ in their end.
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % slots;
}
