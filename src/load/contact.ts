/**
 * First contact: checks that the target answers at all, before anything is measured. One connection
 * joins a room and disconnects. A protocol file is tested end to end: two connections join a room of
 * their own, one publishes and the other must receive it, so that a broken file is reported as such and
 * not as a server that loses every message.
 */
import { badOption, LoadError } from './error.js';
import { type Plan, roomName } from './plan.js';
import { STAMP_LENGTH, Stamps } from './stamp.js';
import { openTarget } from './targets/index.js';
import type { Link, Sink, Target } from './targets/target.js';

const TIMEOUT_MS = 5000;
const LINGER_MS = 1000;
const READ_SIZE = 64 * 1024;

/** The usual cause of an error, by its text, and what to do about it. */
const HINTS: readonly (readonly [reason: RegExp, hint: string])[] = [
  [
    /SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|CERT_UNTRUSTED/,
    'its certificate is not trusted here; name its CA in NODE_EXTRA_CA_CERTS',
  ],
  [/ALTNAME_INVALID/, 'its certificate is for another name; use a host it names'],
  [/CERT_(HAS_EXPIRED|NOT_YET_VALID)/, 'its certificate is not valid today'],
  [
    /WRONG_VERSION_NUMBER|EPROTO|PACKET_LENGTH/,
    'it does not speak TLS there; use ws:// or http://',
  ],
  [/^end$/, 'it ended the connection; where it speaks TLS, use wss:// or https://'],
  [/no HTTP$/, 'it speaks no HTTP there; use the port of its WebSocket'],
  [/refused the upgrade: 40[13]/, 'it requires credentials; send them with --header'],
  [
    /refused the upgrade: (2|404|405|426)/,
    'no WebSocket is served at this path; correct the path of the URL',
  ],
  [/^ECONNREFUSED$/, 'nothing listens there; start the server, or correct host and port'],
  [/^(ENOTFOUND|EAI_AGAIN)$/, 'there is no such host; correct its name'],
  [
    /waited \d+ s for the connection$/,
    'something listens there and does not answer as expected; check the port, and --target',
  ],
];

/** What first contact learns about a target. */
export type Met = Pick<Target, 'numbered' | 'metricsUrl'>;

/** @throws LoadError `bad_option`, `bad_protocol`, `unreachable` */
export async function meet(plan: Plan): Promise<Met> {
  const contact = await Contact.prepare(plan);
  await contact.meet();
  const { numbered, metricsUrl } = contact.target;
  return { numbered, ...(metricsUrl === undefined ? {} : { metricsUrl }) };
}

class Contact {
  readonly target: Target;
  readonly #plan: Plan;
  readonly #stamps: Stamps;
  readonly #faulted: Promise<never>;
  readonly #links: Link[] = [];
  /** What the contact waits for, for the error message. */
  #step = '';
  #onLate: () => void = () => {};
  #onClosed: (reason: Error) => void = () => {};
  #onAnswered: (refused?: string) => void = () => {};
  #onConfirmed: () => void = () => {};

  /** Connects nothing yet. @throws LoadError `bad_option`, `bad_protocol` */
  static async prepare(plan: Plan): Promise<Contact> {
    let onFault: (fault: LoadError) => void = () => {};
    const faulted = new Promise<never>((_, reject) => {
      onFault = reject;
    });
    faulted.catch(() => {});
    const stamps = new Stamps(plan.tag);
    return new Contact(plan, await openTarget(plan.target, stamps, onFault), stamps, faulted);
  }

  private constructor(plan: Plan, target: Target, stamps: Stamps, faulted: Promise<never>) {
    this.#plan = plan;
    for (const { name, since, backfill } of plan.cohorts) {
      const refuse = (what: string, why: string): never => {
        throw badOption(`cohort ${name}.${what}`, 'true', `false with ${target.name}, ${why}`);
      };
      if (since && !target.positions) refuse('since', 'whose joins take no position');
      if (backfill && !target.backfills) refuse('backfill', 'which cannot resend messages');
    }
    this.target = target;
    this.#stamps = stamps;
    this.#faulted = faulted;
  }

  /** May be called once. @throws LoadError `unreachable`, `bad_protocol` */
  async meet(): Promise<void> {
    const timer = setTimeout(() => this.#onLate(), TIMEOUT_MS);
    const attempt = async (): Promise<void> => {
      const [link, room] = await (this.#plan.target.protocol ? this.#whole() : this.#joins());
      await this.#asks(link, room);
    };
    try {
      await Promise.race([attempt(), this.#faulted]);
      for (const link of this.#links) link.close();
    } catch (error) {
      for (const link of this.#links) link.reset();
      if (error instanceof LoadError) throw error;
      const { message } = error as Error;
      const { name, address } = this.target;
      const hint = HINTS.find(([reason]) => reason.test(message))?.[1];
      throw new LoadError(
        'unreachable',
        `cannot reach ${name} at ${address.host}:${address.port}: ${message}${hint ? `: ${hint}` : ''}`,
      );
    } finally {
      clearTimeout(timer);
      // A server that does not end its side must not keep this process alive.
      setTimeout(() => {
        for (const link of this.#links) link.reset();
      }, LINGER_MS).unref();
    }
  }

  /** Checks that a member can join. */
  async #joins(): Promise<[Link, string]> {
    const room = roomName(this.#plan, 0);
    return [await this.#member(room, () => {}), room];
  }

  /** Checks that the target answers a backfill, if a cohort uses it: a server may keep no messages. */
  async #asks(link: Link, room: string): Promise<void> {
    const asking = this.#plan.cohorts.find(({ backfill }) => backfill);
    if (!asking) return;
    this.#step = `the answer to a request for messages of ${room}`;
    const refused = await new Promise<string | undefined>((resolve, reject) => {
      this.#onAnswered = resolve;
      this.#onLate = () => reject(this.#late());
      this.#onClosed = reject;
      link.backfill(room, 1, 1);
    });
    if (refused === undefined) return;
    throw badOption(
      `cohort ${asking.name}.backfill`,
      'true',
      `a server that keeps messages (it answered ${refused}); a roomcast does with --history-messages`,
    );
  }

  /** Checks that one member receives what another one publishes. */
  async #whole(): Promise<[Link, string]> {
    const room = `${roomName(this.#plan, 0)}-first`;
    let onMessage = (_seq: number): void => {};
    const received = new Promise<number>((resolve) => {
      onMessage = resolve;
    });
    const confirmed = new Promise<void>((resolve) => {
      this.#onConfirmed = resolve;
    });
    await this.#member(room, onMessage);
    const publisher = await this.#member(room, () => {});
    this.#step = 'a message that was published (does decode report it by message()?)';
    const lost = new Promise<never>((_, reject) => {
      this.#onLate = () => reject(this.#late());
      this.#onClosed = reject;
    });
    const { numbered } = this.target;
    publisher.publish(room, this.#stamps.payload(STAMP_LENGTH, 0, 0, 0, 0), numbered);
    this.#numbered('message', await Promise.race([received, lost]));
    if (numbered) {
      this.#step =
        'the number of a message that was published (does decode report it by confirmed()?)';
      await Promise.race([confirmed, lost]);
    }
    return [publisher, room];
  }

  /** @throws LoadError `bad_protocol` if the file declares `numbered` and reports no number */
  #numbered(method: string, seq: number): void {
    const { protocol } = this.#plan.target;
    if (!protocol || !this.target.numbered || seq >= 0) return;
    throw new LoadError(
      'bad_protocol',
      `${protocol.file}: ${method}() got no number: expected the room's sequence number, because numbered is true`,
    );
  }

  #late(): Error {
    return new Error(`waited ${TIMEOUT_MS / 1000} s for ${this.#step}`);
  }

  /** Opens a connection and joins. */
  #member(room: string, onMessage: (seq: number) => void): Promise<Link> {
    return new Promise((resolve, reject) => {
      const ended = (reason: Error): void => {
        reject(reason);
        this.#onClosed(reason);
      };
      this.#onLate = () => reject(this.#late());
      this.#step = this.#plan.target.protocol
        ? 'the connection (does open call ready()?)'
        : 'the connection';
      const sink: Sink = {
        chunk() {},
        open: () => {
          this.#step = `the answer to the join of ${room}`;
          link.join(room);
        },
        joined: (name, seq) => {
          if (name === room) {
            try {
              this.#numbered('joined', seq);
              resolve(link);
            } catch (error) {
              reject(error);
            }
          } else reject(new Error(`it joined ${JSON.stringify(name)} instead of ${room}`));
        },
        left() {},
        message: (_buf, _at, seq) => onMessage(seq),
        gap() {},
        past() {},
        answered: () => this.#onAnswered(),
        refusedPast: (code) => this.#onAnswered(code),
        confirmed: () => this.#onConfirmed(),
        refused: (code) => ended(new Error(`refused: ${code}`)),
        closed: (reason) => ended(new Error(reason)),
      };
      const link = this.target.dial(sink, { readSize: READ_SIZE });
      this.#links.push(link);
    });
  }
}
