/** The names of rooms as the OpenAPI document has them. They are checked by `checkRoom`, not here. */
import { type TString, Type } from 'typebox';
import type { CommandLimits } from '../protocol/fields.js';

/** By which the document finds it. */
export const ROOM_NAME = 'Name of a room';

export function roomName({ maxRoomNameLength, roomNamePattern }: CommandLimits): TString {
  return Type.String({
    title: ROOM_NAME,
    minLength: 1,
    maxLength: maxRoomNameLength,
    pattern: roomNamePattern.source,
  });
}
