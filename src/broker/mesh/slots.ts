/**
 * Maps rooms to the workers that order them: a hash of the name modulo the number of slots. That number
 * is fixed while a server runs, and a slot outlives its worker, so plain modulo is enough.
 */

/** The slot of a name, from 0; the same in every process. */
export function slotOf(name: string, slots: number): number {
  // FNV-1a, then the finalizer of MurmurHash3, which spreads names that differ only at the end.
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % slots;
}
