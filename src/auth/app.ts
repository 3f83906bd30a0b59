/**
 * Calls the auth functions of the app (`auth.ts`) and validates their answers. A throw, a timeout and an
 * invalid answer become a refusal with `check_failed` and a log line, limited in rate (V11).
 *
 * V16: no lock is held here and no other connection waits; a failure is never reported as wrong credentials.
 */
import { errorFields, tokensOf } from '../app-error.js';
import type { MaybePromise } from '../broker/broker.js';
import { Refusal } from '../errors.js';
import { FailureLog, type Log } from '../log.js';
import type { Config } from '../options/config.js';
import { type CommandLimits, checkPublish, jsonValueOf, show } from '../protocol/fields.js';
import type { Action } from '../room/identity.js';
import { isThenable } from '../thenable.js';
import type { Handshake } from '../transport/transport.js';
import type { Auth, Principal, Who } from './auth.js';
import { type Claims, infoOf } from './claims.js';
import { isName, notAName } from './names.js';
import type { AuthObserver, Question } from './observer.js';
import { checkTokenText } from './token-text.js';
import { within } from './within.js';

export class App {
  readonly #auth: Auth;
  readonly #config: Config;
  readonly #failures: FailureLog;
  readonly #observer: Pick<AuthObserver, 'appFailed'>;

  constructor(
    auth: Auth,
    config: Config,
    log: Pick<Log, 'error'>,
    observer: Pick<AuthObserver, 'appFailed'>,
  ) {
    this.#auth = auth;
    this.#config = config;
    this.#failures = new FailureLog(log);
    this.#observer = observer;
  }

  /** Whether the app implements this function. */
  answers(question: keyof Auth): boolean {
    return this.#auth[question] !== undefined;
  }

  /**
   * Asks the app to authenticate; null: unknown. The caller applies the timeout and then calls `late`.
   * @throws Refusal as a rejection
   */
  async connect(handshake: Handshake, token: unknown, signal: AbortSignal): Promise<Claims | null> {
    const text = token === null ? null : checkTokenText(token, this.#config.maxTokenBytes);
    const tokens = tokensOf(handshake, text);
    try {
      const principal = await this.#auth.connect?.(handshake, text, signal);
      return principal === null ? null : this.#claimsOf(principal, tokens);
    } catch (error) {
      throw this.#refusalOf('connect', error, signal, tokens);
    }
  }

  /** @throws Refusal as a rejection, if the app does not allow it or did not answer */
  async join(who: Who, room: string, signal: AbortSignal): Promise<void> {
    const isAllowed = await this.#ask('join', who, signal, (asked) =>
      this.#auth.join?.(who, room, asked),
    );
    if (isAllowed === true) return;
    if (isAllowed === false) throw new Refusal('not_allowed', `You may not join ${room}.`);
    throw this.#failed('join', `it answered ${show(isAllowed)}`);
  }

  /**
   * Returns the JSON text to publish.
   * @throws Refusal as a rejection, as `join` does
   */
  async publish(
    who: Who,
    room: string,
    text: string,
    limits: CommandLimits,
    signal: AbortSignal,
  ): Promise<string> {
    const answer = await this.#ask('publish', who, signal, (asked) =>
      this.#auth.publish?.(who, room, JSON.parse(text), asked),
    );
    if (answer === true) return text;
    if (answer === false) throw new Refusal('not_allowed', `This may not be published to ${room}.`);
    if (typeof answer !== 'object' || answer === null || !('data' in answer)) {
      throw this.#failed('publish', `it answered ${show(answer)}`);
    }
    try {
      return checkPublish(room, jsonValueOf(answer.data), undefined, undefined, limits).data;
    } catch (error) {
      throw this.#failed('publish', error);
    }
  }

  /** The refusal for an answer that did not arrive in time. */
  late(question: Question): Refusal {
    return this.#failed(question, `it did not answer within ${this.#config.authMs} ms`);
  }

  async #ask<Answer>(
    question: Question,
    { handshake }: Who,
    signal: AbortSignal,
    ask: (signal: AbortSignal) => MaybePromise<Answer>,
  ): Promise<Answer> {
    const late = () => this.late(question);
    try {
      // The async function turns a synchronous throw into a rejection.
      return await within(this.#config.authMs, signal, async (asked) => await ask(asked), late);
    } catch (error) {
      throw this.#refusalOf(question, error, signal, tokensOf(handshake));
    }
  }

  /** @throws Refusal */
  #claimsOf(principal: unknown, tokens: readonly string[]): Claims {
    if (typeof principal !== 'object' || principal === null) {
      throw this.#failed('connect', `it answered ${show(principal)}`, tokens);
    }
    const given = principal as Principal;
    const { user, tokenId, expiresAt, issuedAt } = given;
    const wrong = (why: string) => this.#failed('connect', why, tokens);
    if (!isName(user)) throw wrong(notAName('user', user));
    if (tokenId !== undefined && !isName(tokenId)) throw wrong(notAName('tokenId', tokenId));
    for (const [name, value] of Object.entries({ expiresAt, issuedAt })) {
      if (value === undefined || Number.isFinite(value)) continue;
      throw wrong(`${name} is ${show(value)}; it must be milliseconds since 1970`);
    }
    const { may } = given;
    if (may !== undefined && typeof may !== 'function') {
      throw wrong(`may is ${show(may)}; it must be a function`);
    }
    return {
      user,
      tokenId: tokenId ?? null,
      info: this.#infoOf(given.info),
      expiresAt: expiresAt ?? Number.POSITIVE_INFINITY,
      issuedAt: issuedAt ?? null,
      may: (action, room) => given.may !== undefined && this.#may(given, action, room, tokens),
    };
  }

  /** An invalid answer, such as a promise, allows nothing. */
  #may(principal: Principal, action: Action, room: string, tokens: readonly string[]): boolean {
    try {
      const answer: unknown = principal.may?.(action, room);
      if (typeof answer === 'boolean') return answer;
      if (isThenable(answer)) answer.then(undefined, () => {});
      this.#failed(
        'may',
        `it answered ${show(answer)}; it must return true or false synchronously`,
      );
    } catch (error) {
      this.#failed('may', error, tokens);
    }
    return false;
  }

  #infoOf(info: unknown): Claims['info'] {
    try {
      return infoOf(info, this.#config.maxInfoBytes);
    } catch (error) {
      throw this.#failed('connect', error);
    }
  }

  #refusalOf(
    question: Question,
    error: unknown,
    signal: AbortSignal,
    tokens: readonly string[],
  ): unknown {
    return error instanceof Refusal || signal.aborted
      ? error
      : this.#failed(question, error, tokens);
  }

  /** `tokens`: tokens that may occur in the text of `error`. */
  #failed(question: Question, error: unknown, tokens: readonly string[] = []): Refusal {
    this.#observer.appFailed(question);
    this.#failures.add({ ...errorFields(error, tokens), question }, 'the auth of the app failed');
    return new Refusal('check_failed', 'The server could not check whether this is allowed.');
  }
}
