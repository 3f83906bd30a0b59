/** What is put together (`compose.ts`), for those who serve it. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Taker } from './attachment.js';
import type { Log } from './log.js';
import type { Recorder } from './metrics/recorder.js';
import type { AllValues } from './metrics/values.js';
import type { Config } from './options/config.js';
import type { Archive } from './room/archive.js';
import type { Member } from './room/member.js';
import type { Roomcast } from './roomcast.js';
import type { People } from './session/people.js';
import type { Host } from './shutdown.js';
import type { Sockets } from './sockets.js';

/** What `serve` and `startTestServer` need of a roomcast beside what everybody gets. */
export interface Composed {
  readonly roomcast: Roomcast;
  readonly config: Config;
  readonly log: Log;
  readonly sockets: Sockets;
  /** Those of the internal port. */
  readonly internal: WeakSet<Socket>;
  readonly members: ReadonlyMap<string, Member>;
  /** What rooms keep. */
  readonly archive: Archive;
  readonly isClosing: boolean;
  /** Resolves once the broker can be used, or will not be soon. Rejects with ConfigError where it cannot be. */
  readonly ready: Promise<void>;
  /** Resolves once the HTTP API can answer. From now on every request is for it. */
  prepare(): Promise<unknown>;
  /**
   * Takes other options in the place of those it has; what it returns does so, for all that comes from
   * then on. Those who are here keep the queues and rights they have.
   *
   * @throws ConfigError where one of them cannot be taken; then nothing has changed
   */
  prepareReload(next: Config): () => void;
  /** The numbers of this process. */
  read(): AllValues;
  readonly recorder: Recorder;
  readonly people: People;
  /** To be called before `close` is. */
  hostedBy(host: Host): void;
  readonly taker: Taker;
  /** What the parser of a server of ours refuses. */
  clientError(error: Error, socket: Duplex): void;
}
