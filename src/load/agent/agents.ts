/**
 * The agents of a test, on the coordinator's side: connects to each, measures the offset of its clock to
 * ours, and opens ports to its workers. An agent that is lost, or silent for 10 s, loses its workers:
 * the run ends and does not pass (V24).
 */
import { machineMicros } from '../clock.js';
import { LoadError } from '../error.js';
import type { Port, PortEvents } from '../port.js';
import type { Machine } from '../report/report.js';
import type { Address } from '../wire/wire.js';
import { type Channel, connectTls, keyOf } from './channel.js';
import { type Exchange, errorBetween, type Offset, offsetOf } from './clock-offset.js';
import { type FromAgent, PING_EVERY_MS, SILENCE_MAX_MS, type ToAgent } from './messages.js';

/** Exchanges per clock measurement; the best one counts. */
const EXCHANGES = 24;
const HELLO_TIMEOUT_MS = 5000;
/** Time limit of a clock measurement; the exchanges made by then are used. */
const MEASURE_MS = 5000;

/** An agent as reports describe it. */
export interface AgentInfo {
  /** `host:port`. */
  readonly address: string;
  readonly machine: Machine;
  /** Added to our clock to get the agent's clock, in µs. */
  readonly clockOffset: number;
  /** Largest error of that offset in any run, drift included, in µs. */
  readonly clockError: number;
}

export class Agents {
  readonly #agents: readonly RemoteAgent[];

  /**
   * @param version of roomcast; the agents must have the same
   * @throws LoadError `bad_agent` for one that cannot be reached, has another secret, version or
   *   coordinator
   */
  static async connect(
    addresses: readonly Address[],
    secret: string,
    version: string,
  ): Promise<Agents> {
    const key = keyOf(secret);
    const opened = await Promise.allSettled(
      addresses.map((address) => RemoteAgent.connect(address, key, version)),
    );
    const agents = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const failure = opened.find((each) => each.status === 'rejected');
    if (failure) {
      for (const agent of agents) agent.close();
      throw failure.reason;
    }
    return new Agents(agents);
  }

  private constructor(agents: readonly RemoteAgent[]) {
    this.#agents = agents;
  }

  /** Measures the clocks before and after each run. Returns why an agent is lost, or null. */
  async measure(when: 'before' | 'after'): Promise<string | null> {
    const lost = await Promise.all(this.#agents.map((agent) => agent.measure(when)));
    return lost.find((each) => each !== null) ?? null;
  }

  /** Largest error of a time between two agents in the last measured run, in µs; null with one agent. */
  clockError(): number | null {
    const errors = this.#agents.map(({ error }) => error).sort((a, b) => b - a);
    return errors.length < 2 ? null : errors[0]! + errors[1]!;
  }

  /** Converts a time of our clock to the clock of the worker's machine. */
  theirs(worker: number, micros: number): number {
    return micros + this.#of(worker).offset;
  }

  port(worker: number, events: PortEvents): Port {
    return this.#of(worker).port(worker, events);
  }

  /** Address of the worker's agent. */
  nameOf(worker: number): string {
    return this.#of(worker).name;
  }

  info(): AgentInfo[] {
    return this.#agents.map((agent) => agent.info());
  }

  close(): void {
    for (const agent of this.#agents) agent.close();
  }

  #of(worker: number): RemoteAgent {
    return this.#agents[worker % this.#agents.length]!;
  }
}

class RemoteAgent {
  readonly name: string;
  readonly #channel: Channel;
  readonly #machine: Machine;
  readonly #workers = new Map<number, PortEvents>();
  readonly #pings = new Map<number, (at: number) => void>();
  readonly #alive: NodeJS.Timeout;
  #lastMessageAt = performance.now();
  #pingIds = 0;
  #lost: string | undefined;
  #onLost: (reason: string) => void = () => {};
  #offset: Offset = { offset: 0, error: 0 };
  /** Largest error of the offset in the latest run, and in any run; µs. */
  error = 0;
  #worstError = 0;

  static async connect(address: Address, key: Buffer, version: string): Promise<RemoteAgent> {
    const name = `${address.host}:${address.port}`;
    const bad = (text: string): LoadError => new LoadError('bad_agent', `agent ${name}: ${text}`);
    const channel = await connectTls(address, key).catch((error: Error) => {
      throw bad(`${error.message}: expected roomcast load agent with the same secret`);
    });
    const hello = await new Promise<Extract<FromAgent, { hello: unknown }>['hello']>(
      (resolve, reject) => {
        const timer = setTimeout(() => reject(bad('it sends no greeting')), HELLO_TIMEOUT_MS);
        channel.onMessage = (message) => {
          clearTimeout(timer);
          resolve((message as Extract<FromAgent, { hello: unknown }>).hello);
        };
        channel.onClosed = (reason) => {
          clearTimeout(timer);
          reject(bad(reason));
        };
      },
    );
    let wrong: string | undefined;
    if (hello?.version !== version) {
      wrong = `it runs roomcast ${hello?.version}: expected ${version}, the same as this one`;
    } else if (hello.busy) wrong = 'it is in use by another coordinator: expected one at a time';
    if (wrong !== undefined) {
      channel.close();
      throw bad(wrong);
    }
    channel.send({ hello: { version } } satisfies ToAgent);
    return new RemoteAgent(name, channel, hello.machine);
  }

  private constructor(name: string, channel: Channel, machine: Machine) {
    this.name = name;
    this.#channel = channel;
    this.#machine = machine;
    channel.onMessage = (message) => this.#receive(message as FromAgent);
    channel.onClosed = (reason) => {
      clearInterval(this.#alive);
      this.#lost = reason;
      this.#onLost(reason);
      for (const worker of this.#workers.values()) worker.lost(reason);
    };
    this.#alive = setInterval(() => {
      if (performance.now() - this.#lastMessageAt > SILENCE_MAX_MS) channel.close('it went silent');
      else void this.#exchange();
    }, PING_EVERY_MS);
  }

  get offset(): number {
    return this.#offset.offset;
  }

  async measure(when: 'before' | 'after'): Promise<string | null> {
    const lost = new Promise<string>((resolve) => {
      if (this.#lost !== undefined) resolve(this.#lost);
      this.#onLost = resolve;
    });
    const exchanges: Exchange[] = [];
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), MEASURE_MS);
    });
    try {
      while (exchanges.length < EXCHANGES) {
        const exchange = await Promise.race([this.#exchange(), lost, late]);
        if (exchange === undefined && exchanges.length > 0) break;
        if (exchange === undefined) {
          this.#channel.close(`it did not answer a clock request within ${MEASURE_MS / 1000} s`);
          return this.#lostText(await lost);
        }
        if (typeof exchange === 'string') return this.#lostText(exchange);
        exchanges.push(exchange);
      }
    } finally {
      clearTimeout(timer);
    }
    const measured = offsetOf(exchanges);
    if (when === 'before') this.#offset = measured;
    else {
      this.error = errorBetween(this.#offset, measured);
      this.#worstError = Math.max(this.#worstError, this.error);
    }
    return null;
  }

  #lostText(reason: string): string {
    return `agent ${this.name} was lost: ${reason}`;
  }

  port(worker: number, events: PortEvents): Port {
    this.#workers.set(worker, events);
    if (this.#lost !== undefined) events.lost(this.#lost);
    const send = (message: ToAgent): void => this.#channel.send(message);
    return {
      send: (order) => send({ worker, order }),
      disconnect: () => {
        this.#workers.delete(worker);
        send({ worker, end: true });
      },
    };
  }

  info(): AgentInfo {
    return {
      address: this.name,
      machine: this.#machine,
      clockOffset: this.#offset.offset,
      clockError: this.#worstError,
    };
  }

  close(): void {
    clearInterval(this.#alive);
    this.#channel.close();
  }

  #receive(message: FromAgent): void {
    this.#lastMessageAt = performance.now();
    if ('pong' in message) {
      this.#pings.get(message.pong)?.(message.at);
      this.#pings.delete(message.pong);
    } else if ('answer' in message) this.#workers.get(message.worker)?.answer(message.answer);
    else if ('lost' in message) {
      this.#workers.get(message.worker)?.lost(`one of its worker processes ended: ${message.lost}`);
    }
  }

  #exchange(): Promise<Exchange> {
    const ping = this.#pingIds++;
    const sent = machineMicros();
    return new Promise((resolve) => {
      this.#pings.set(ping, (there) => resolve({ sent, there, received: machineMicros() }));
      this.#channel.send({ ping } satisfies ToAgent);
    });
  }
}
