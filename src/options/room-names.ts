/**
 * The pattern of room names, and whether a namespace can have a room under it. A namespace that no room
 * could ever match is rejected (V14).
 */

/**
 * Compiles a pattern to match the whole name, by Unicode characters, so that `\p{L}` is a letter. Throws
 * SyntaxError if it is not a pattern.
 */
export function wholePattern(source: string): RegExp {
  // Compiled alone first, so that a bracket in it cannot close the group below.
  new RegExp(source, 'u');
  return new RegExp(`^(?:${source})$`, 'u');
}

export function isPattern(text: string): boolean {
  try {
    wholePattern(text);
    return true;
  } catch {
    return false;
  }
}

/** Name endings to try if it cannot be computed whether the namespace can have rooms. */
const ENDINGS = ['', 'a', 'A', '0', '1', 'a1', 'lobby', '00000000-0000-4000-8000-000000000000'];

/** Whether the namespace can have a room; null if none of the names tried matches but others might. */
export function mayHaveRooms(
  namespace: string,
  pattern: RegExp,
  limits: { readonly roomNamePattern: string; readonly maxRoomNameLength: number },
): boolean | null {
  const { roomNamePattern, maxRoomNameLength: maxLength } = limits;
  const start = `${namespace}:`;
  if (start.length > maxLength) return false;
  // A pattern of one repeated character class: each character can be tested alone.
  const [, only] = /^\^?(\[(?:[^\]\\]|\\.)*\])[+*]\$?$/.exec(roomNamePattern) ?? [];
  if (only !== undefined) {
    const one = wholePattern(only);
    return Array.from(start).every((character) => one.test(character));
  }
  const tried = ENDINGS.some((ending) => pattern.test(start + ending));
  return tried || pattern.test(start.repeat(Math.floor(maxLength / start.length))) ? true : null;
}
