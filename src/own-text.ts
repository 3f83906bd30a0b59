/**
 * A text that keeps nothing but itself in memory, for what is kept longer than that it was cut out of:
 * V8 makes a part of 13 characters or more by pointing into the whole, which then stays as long (V3).
 */
export const ownText = (part: string): string => JSON.parse(JSON.stringify(part)) as string;
