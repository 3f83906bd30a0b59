/** The schema of room names in the OpenAPI document. `checkRoom` does the actual check. */
import { type TString, Type } from 'typebox';
import type { CommandLimits } from '../protocol/fields.js';

/** Title by which `docs.ts` finds the schema. */
export const ROOM_NAME = 'Name of a room';

export function roomName({ maxRoomNameLength, roomNamePattern }: CommandLimits): TString {
  return Type.String({
    title: ROOM_NAME,
    minLength: 1,
    maxLength: maxRoomNameLength,
    pattern: roomNamePattern.source,
  });
}
