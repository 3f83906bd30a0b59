/** The names of rooms as the OpenAPI document has them. They are checked by `checkRoom`, not here. */
import { type TString, Type } from 'typebox';
import type { CommandLimits } from '../protocol/fields.js';

export function roomName({ maxRoomNameLength, roomNamePattern }: CommandLimits): TString {
  return Type.String({
    minLength: 1,
    maxLength: maxRoomNameLength,
    pattern: roomNamePattern.source,
  });
}
