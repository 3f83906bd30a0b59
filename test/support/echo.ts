/** A session that echoes its input: the service that SockJS test suites expect. */
import type { Fault, Transport, TransportSink } from '../../src/transport/transport.js';

export class SessionEcho implements TransportSink {
  /** The latest session. */
  static latest: SessionEcho | undefined;
  /** Resolves when the session is over. */
  readonly over: Promise<void>;
  /** Resolves when it can be written to again. */
  readonly polled: Promise<void>;
  readonly stallAfterMs = 30_000;
  readonly #transport: Transport;
  readonly #heard: string[] = [];
  #hasEnded: () => void = () => {};
  #isPolled: () => void = () => {};

  constructor(transport: Transport) {
    this.#transport = transport;
    this.over = new Promise((resolve) => {
      this.#hasEnded = resolve;
    });
    this.polled = new Promise((resolve) => {
      this.#isPolled = resolve;
    });
    SessionEcho.latest = this;
  }

  received(text: string): void {
    this.#heard.push(text);
    this.#flush();
  }

  receivedBinary(): void {}

  faulted(reason: Fault): void {
    this.#transport.close(reason, Buffer.alloc(0), 1000);
  }

  completed(): void {
    this.#flush();
  }

  ready(): void {
    this.#isPolled();
    this.#flush();
  }

  roundTrip(): void {}

  left(): void {}

  ended(): void {
    this.#hasEnded();
  }

  #flush(): void {
    const { framing } = this.#transport;
    while (this.#heard.length > 0 && this.#transport.writable) {
      const frames = this.#heard.splice(0).map((text) => framing.encoding.encode(text));
      const bytes = frames.reduce((sum, { length }) => sum + length, 0);
      this.#transport.write(framing.join(frames, bytes), frames.length);
    }
  }
}
