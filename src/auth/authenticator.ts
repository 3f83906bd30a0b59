/**
 * Who a connection is, found out from its token or by the app: the keys, the clock of all ends, and what
 * everybody may who has said nothing. One a server; without keys and app it is off and holds nothing.
 *
 * V16: nothing here holds a lock, and one check delays no other.
 *
 * Not here: one connection (`session/identity.ts`), what a token is (`tokens.ts`).
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

/** Whether a token is needed, understood, or of no use. */
export type AuthMode = 'required' | 'optional' | 'off';

/** Those that options give. @throws ConfigError where a file has none */
const ownKeys = ({ tokenSecret, tokenKeyFile }: Config): readonly Key[] => [
  ...tokenSecret.map(secretKey),
  ...tokenKeyFile.map(readPublicKey),
];

/** Keys that options give, and behind them those that are fetched. */
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
  /** Loaded where there are keys only: an app without pays nothing for what reads tokens. */
  readonly #tokens: Promise<Tokens> | null;
  /** Of tokens. Only where it is not off. */
  readonly alarms: Alarms | null;
  /** Only where it is not off. */
  readonly revocations: Revocations | null;
  /** Null where there is no address of keys. */
  readonly #jwks: Jwks | null;
  /** Null where the app has nothing to say. */
  readonly app: App | null;
  readonly #authMs: number;

  /**
   * `auth` is what an app has to say.
   * @throws ConfigError where a file has no key, or two would say who somebody is
   */
  constructor(config: Config, log: Log, observer: AuthObserver, auth?: Auth) {
    this.observer = observer;
    this.app = auth === undefined ? null : new App(auth, config, log, observer);
    this.#authMs = config.authMs;
    const saysWho = this.app?.answers('connect') === true;
    if (saysWho && hasKeys(config)) throw twoSayWho();
    const isOn = saysWho || hasKeys(config);
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
   * Reads the keys and rules of other options; what it returns puts them in place, for all who come and
   * say who they are from then on.
   * @throws ConfigError where a key cannot be read, or tokens would begin or cease to be asked for
   */
  prepare(config: Config): () => void {
    if (hasKeys(config) !== (this.#keys !== null)) {
      const allowed = this.#keys === null ? 'none' : 'at least one';
      throw new ConfigError(
        `tokenSecret and tokenKeyFile take a restart: a server that runs keeps to ask for tokens, or not to; give ${allowed}`,
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

  /** Who somebody is who has not said so. */
  get nobody(): Identity {
    return this.#permissions.nobody;
  }

  /** Whether somebody may be known by the request of its connection, with no token in it. */
  get readsRequests(): boolean {
    return this.app?.answers('connect') === true;
  }

  /**
   * Who a token is of; null: of nobody. Null in place of a token: a request came without one.
   * @throws Refusal `token_invalid`, `token_expired`, `token_too_big`, `keys_unavailable`, `check_failed`,
   *   or what the app throws, as a rejection
   */
  async check(token: unknown, handshake: Handshake, signal: AbortSignal): Promise<Claims | null> {
    if (this.app?.answers('connect')) return this.app.connect(handshake, token, signal);
    const tokens = (await this.#tokens) as Tokens;
    return tokens.verify(token);
  }

  /** The refusal for a check that has not ended in time. */
  late(): Refusal {
    if (this.app?.answers('connect')) return this.app.late('connect');
    return new Refusal('keys_unavailable', `The token was not checked within ${this.#authMs} ms.`);
  }

  /** Who that is for rooms: what it may, but for what was revoked, as that is when it is asked. */
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

  /** Of the keys that are fetched, in milliseconds; null where none are, infinite before the first. */
  get keysAgeMs(): number | null {
    return this.#jwks?.ageMs ?? null;
  }

  close(): void {
    this.#jwks?.close();
    this.alarms?.close();
  }
}

function twoSayWho(): ConfigError {
  const allowed = 'keys, or auth without connect';
  return new ConfigError(
    `auth connect is not allowed with tokenSecret, tokenKeyFile or jwksUrl: one of them says who somebody is, give ${allowed}`,
    { code: 'unfit_options', option: 'auth', allowed },
  );
}

async function loadTokens(keys: Keys, config: Config): Promise<Tokens> {
  const { Tokens } = await import('./tokens.js');
  return new Tokens(keys, config);
}
