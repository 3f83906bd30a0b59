/**
 * An agent: lends this machine to a coordinator on another one. Starts the worker processes that the
 * coordinator orders and passes orders and reports on. Serves one coordinator at a time; when that
 * disconnects, or is silent for 10 s, the agent ends its workers and all their connections (V8).
 * Not here: the coordinator's side (agents.ts), the steps of a worker (worker.ts).
 */
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:tls';
import { machineMicros } from '../clock.js';
import { listen } from '../listen.js';
import { ProcessPort } from '../port.js';
import { thisMachine } from '../report/report.js';
import type { Address } from '../wire/wire.js';
import { type Channel, keyOf, listenTls } from './channel.js';
import { type FromAgent, SILENCE_MAX_MS, type ToAgent } from './messages.js';

/** Largest number of worker processes of one coordinator. */
const WORKERS_MAX = 64;

export interface AgentOptions {
  readonly listen: Address;
  readonly secret: string;
  /** Version of roomcast; the coordinator must have the same. */
  readonly version: string;
  /** Logs when a coordinator connects and disconnects. */
  readonly log: (line: string) => void;
}

export class Agent {
  readonly #options: AgentOptions;
  readonly #server: Server;
  readonly #channels = new Set<Channel>();
  #coordinator: Channel | undefined;

  /** @throws LoadError `bad_option` when it cannot listen there */
  static async open(options: AgentOptions): Promise<Agent> {
    const agent = new Agent(options);
    await listen(agent.#server, '--listen', options.listen);
    return agent;
  }

  private constructor(options: AgentOptions) {
    this.#options = options;
    this.#server = listenTls(keyOf(options.secret), (channel) => this.#greet(channel));
  }

  get address(): Address {
    const { address, port } = this.#server.address() as AddressInfo;
    return { host: address, port };
  }

  async close(): Promise<void> {
    for (const channel of this.#channels) channel.close();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #greet(channel: Channel): void {
    this.#channels.add(channel);
    const { version } = this.#options;
    const silence = setTimeout(() => channel.close(), SILENCE_MAX_MS);
    const workers = new Map<number, ProcessPort>();
    const reply = (message: FromAgent): void => channel.send(message);
    const busy = this.#coordinator !== undefined;
    reply({ hello: { version, machine: thisMachine(), busy } });
    channel.onMessage = (message) => {
      silence.refresh();
      try {
        this.#receive(channel, message as ToAgent, workers, reply);
      } catch {
        // The peer has the secret but sent an invalid message: a bug, which must not end the agent.
        channel.close();
      }
    };
    channel.onClosed = () => {
      clearTimeout(silence);
      this.#channels.delete(channel);
      for (const worker of workers.values()) worker.disconnect();
      if (this.#coordinator !== channel) return;
      this.#coordinator = undefined;
      this.#options.log('the coordinator has disconnected');
    };
  }

  #receive(
    channel: Channel,
    message: ToAgent,
    workers: Map<number, ProcessPort>,
    reply: (message: FromAgent) => void,
  ): void {
    if ('hello' in message) {
      if (this.#coordinator || message.hello.version !== this.#options.version) channel.close();
      else {
        this.#coordinator = channel;
        this.#options.log('a coordinator has connected');
      }
    } else if ('ping' in message) reply({ pong: message.ping, at: machineMicros() });
    else if (this.#coordinator !== channel) channel.close();
    else if ('end' in message) {
      const { worker } = message;
      workers.get(worker)?.disconnect();
      workers.delete(worker);
    } else {
      const { worker, order } = message;
      if (order.step === 'create' && workers.size < WORKERS_MAX) {
        const port: ProcessPort = new ProcessPort({
          answer: (answer) => reply({ worker, answer }),
          lost: (reason) => {
            if (workers.get(worker) === port) reply({ worker, lost: reason });
          },
        });
        workers.set(worker, port);
      }
      workers.get(worker)?.send(order);
    }
  }
}
