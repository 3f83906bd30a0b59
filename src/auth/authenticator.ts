/**
 * Authenticates connections, by token or through the app: holds the keys, the expiry alarms, the revocations,
 * and the permissions of the unauthenticated. One per server; without keys and app it is off and holds
 * nothing.
 *
 * V16: nothing here holds a lock, and one check delays no other.
 *
 * Not here: the state of one connection (`session/identity.ts`), the check of a token (`tokens.ts`).
 */
import { ConfigError, Refusal } from '../errors.js';
import type { Log } from '../log.js';
import type { Config } from '../options/config.js';
import { hasKeys } from '../options/together.js';
import type { Identity } from '../room/identity.js';
import type { Handshake } from '../transport/transport.js';
import { Alarms } from './alarms.js';
import { App } from './app.js';
import type { Auth } from './auth.js';
import type { Claims } from './claims.js';
import { Jwks } from './jwks.js';
import { fits, type Key, type KeyHint, readPublicKey, secretKey } from './keys.js';
import type { AuthObserver } from './observer.js';
import { Permissions } from './permissions.js';
import { Revocations } from './revocations.js';
import type { Keys, Tokens } from './tokens.js';

/** Whether a token is required, accepted, or ignored. */
export type AuthMode = 'required' | 'optional' | 'off';

/** The keys in the options. @throws ConfigError if a file has no usable key */
const ownKeys = ({ tokenSecret, tokenKeyFile }: Config): readonly Key[] => [
  ...tokenSecret.map(secretKey),
  ...tokenKeyFile.map(readPublicKey),
];

/** The keys of the options, then those that are fetched. */
class AllKeys implements Keys {
  readonly #fetched: Jwks | null;

  constructor(
    public own: readonly Key[],
    fetched: Jwks | null,
  ) {
    this.#fetched = fetched;
  }

  async *candidates(hint: KeyHint): AsyncGenerator<Key> {
    for (const key of this.own) if (fits(key, hint)) yield key;
    if (this.#fetched !== null) yield* this.#fetched.candidates(hint);
  }
}

export class Authenticator {
  readonly mode: AuthMode;
  readonly observer: AuthObserver;
  readonly #keys: AllKeys | null;
  #permissions: Permissions;
  /** Loaded only if there are keys: without any, the server does not load the JWT library. */
  readonly #tokens: Promise<Tokens> | null;
  /** Expiry of tokens. Null if authentication is off. */
  readonly alarms: Alarms | null;
  /** Null if authentication is off. */
  readonly revocations: Revocations | null;
  /** Null without `jwksUrl`. */
  readonly #jwks: Jwks | null;
  /** Null if the app passed no `auth`. */
  readonly app: App | null;
  readonly #authMs: number;

  /**
   * `auth`: the functions of the app.
   * @throws ConfigError if a file has no usable key, or both keys and `auth.connect` are given
   */
  constructor(config: Config, log: Log, observer: AuthObserver, auth?: Auth) {
    this.observer = observer;
    this.app = auth === undefined ? null : new App(auth, config, log, observer);
    this.#authMs = config.authMs;
    const appConnects = this.app?.answers('connect') === true;
    if (appConnects && hasKeys(config)) throw twoWaysToConnect();
    const isOn = appConnects || hasKeys(config);
    this.mode = !isOn ? 'off' : config.anonymous ? 'optional' : 'required';
    this.#permissions = new Permissions(config, isOn);
    const own = ownKeys(config);
    const fetched = (isOk: boolean) => observer.keysFetched(isOk);
    this.#jwks = config.jwksUrl === '' ? null : new Jwks(config, log, fetched);
    this.#keys = hasKeys(config) ? new AllKeys(own, this.#jwks) : null;
    this.#tokens = this.#keys && loadTokens(this.#keys, config);
    const { maxRevocations, clockToleranceMs } = config;
    this.alarms = isOn ? new Alarms() : null;
    this.revocations =
      this.alarms && new Revocations(maxRevocations, clockToleranceMs, this.alarms);
  }

  /**
   * Reads the keys and rules of new options; returns a function that applies them to every authentication
   * from then on.
   * @throws ConfigError if a key cannot be read, or if the change would turn authentication on or off
   */
  prepare(config: Config): () => void {
    if (hasKeys(config) !== (this.#keys !== null)) {
      const allowed = this.#keys === null ? 'none' : 'at least one';
      throw new ConfigError(
        `tokenSecret and tokenKeyFile need a restart: a running server cannot turn token checks on or off; give ${allowed}`,
        { code: 'needs_restart', option: 'tokenSecret', allowed },
      );
    }
    const own = ownKeys(config);
    const permissions = new Permissions(config, this.mode !== 'off');
    return () => {
      if (this.#keys !== null) this.#keys.own = own;
      this.#permissions = permissions;
    };
  }

  /** The identity of an unauthenticated connection. */
  get nobody(): Identity {
    return this.#permissions.nobody;
  }

  /** Whether the app can authenticate a connection by its request, without a token. */
  get readsRequests(): boolean {
    return this.app?.answers('connect') === true;
  }

  /**
   * The claims of a token; null: unknown user. A null `token` means that the request had none.
   * @throws Refusal `token_invalid`, `token_expired`, `token_too_big`, `keys_unavailable`, `check_failed`,
   *   or what the app throws, as a rejection
   */
  async check(token: unknown, handshake: Handshake, signal: AbortSignal): Promise<Claims | null> {
    if (this.app?.answers('connect')) return this.app.connect(handshake, token, signal);
    const tokens = (await this.#tokens) as Tokens;
    return tokens.verify(token);
  }

  /** The refusal for a check that did not end in time. */
  late(): Refusal {
    if (this.app?.answers('connect')) return this.app.late('connect');
    return new Refusal('keys_unavailable', `The token was not checked within ${this.#authMs} ms.`);
  }

  /** The identity for rooms. Each call of `may` also looks up the revocations. */
  identityOf(claims: Claims): Identity {
    const { user, info, may } = this.#permissions.of(claims);
    return {
      user,
      info,
      may: (action, room) => may(action, room) && this.revocations?.inRoom(claims, room) !== true,
    };
  }

  /** Whether tokens can be checked now. */
  get isReady(): boolean {
    return this.#jwks?.isUsable ?? true;
  }

  /** Age of the fetched keys, in milliseconds; null without `jwksUrl`, infinite before the first fetch. */
  get keysAgeMs(): number | null {
    return this.#jwks?.ageMs ?? null;
  }

  close(): void {
    this.#jwks?.close();
    this.alarms?.close();
  }
}

function twoWaysToConnect(): ConfigError {
  const allowed = 'keys, or auth without connect';
  return new ConfigError(
    `auth connect is not allowed with tokenSecret, tokenKeyFile or jwksUrl: only one of them can authenticate, give ${allowed}`,
    { code: 'unfit_options', option: 'auth', allowed },
  );
}

async function loadTokens(keys: Keys, config: Config): Promise<Tokens> {
  const { Tokens } = await import('./tokens.js');
  return new Tokens(keys, config);
}
