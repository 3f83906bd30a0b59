/**
 * The pattern of rooms' names: what it is matched against, and whether a namespace can have a room at
 * all. A namespace that nothing could ever match is not taken (V14).
 */

/**
 * A pattern as it is matched: against the whole name, and by characters of all scripts, so that
 * `\p{L}` is a letter. Throws SyntaxError for what is no pattern.
 */
export function wholePattern(source: string): RegExp {
  // By itself first, so that a bracket cannot end the group it is put into.
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

/** Endings of names that are tried where it cannot be computed whether a namespace has any. */
const ENDINGS = ['', 'a', 'A', '0', '1', 'a1', 'lobby', '00000000-0000-4000-8000-000000000000'];

/** Whether a room of this namespace may have a name; null where none of those tried has, but one may. */
export function mayHaveRooms(
  namespace: string,
  pattern: RegExp,
  limits: { readonly roomNamePattern: string; readonly maxRoomNameLength: number },
): boolean | null {
  const { roomNamePattern, maxRoomNameLength: maxLength } = limits;
  const start = `${namespace}:`;
  if (start.length > maxLength) return false;
  // One class of characters, any number of times: each character can be asked about by itself.
  const [, only] = /^\^?(\[(?:[^\]\\]|\\.)*\])[+*]\$?$/.exec(roomNamePattern) ?? [];
  if (only !== undefined) {
    const one = wholePattern(only);
    return Array.from(start).every((character) => one.test(character));
  }
  const tried = ENDINGS.some((ending) => pattern.test(start + ending));
  return tried || pattern.test(start.repeat(Math.floor(maxLength / start.length))) ? true : null;
}
