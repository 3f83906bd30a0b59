/** The `welcome` event: the limits of the server and its features. */
import type { Authenticator } from '../auth/authenticator.js';
import type { Config } from '../options/config.js';
import { type Event, type Feature, PROTOCOL_VERSION } from '../protocol/events.js';
import type { Hub } from '../room/hub.js';

/** Features of every server. */
const FEATURES: readonly Feature[] = ['since', 'uid'];

export interface Offered {
  readonly config: Config;
  readonly hub: Pick<Hub, 'archive' | 'presence'>;
  readonly auth: Pick<Authenticator, 'mode'>;
}

export function welcome(member: string, { config, hub, auth }: Offered): Event {
  const hasTokens = auth.mode !== 'off';
  return {
    type: 'welcome',
    version: PROTOCOL_VERSION,
    member,
    heartbeatMs: config.heartbeatMs,
    limits: {
      maxMessageBytes: config.maxMessageBytes,
      maxRoomsPerMember: config.maxRoomsPerMember,
      maxRoomNameLength: config.maxRoomNameLength,
      publishRate: config.publishRate,
      joinRate: config.joinRate,
      ...(hasTokens && { maxTokenBytes: config.maxTokenBytes }),
    },
    features: [
      ...FEATURES,
      ...(hub.archive.keepsAny ? (['history'] as const) : []),
      ...(hub.presence.isOn ? (['presence'] as const) : []),
      ...(hasTokens ? (['auth'] as const) : []),
    ],
    auth: auth.mode,
  };
}
