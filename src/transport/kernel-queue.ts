/**
 * Reads how many bytes of a connection the kernel still holds because the peer's kernel has not
 * acknowledged them. Linux reports this in `/proc/self/net/tcp` and `tcp6`; elsewhere, and where the
 * file cannot be opened (V12), askers get no answer.
 *
 * The table has a line for each connection of the machine. So it is read only while there are askers, at
 * most once an interval for all of them, asynchronously in pieces, and no further than `MAX_BYTES`.
 *
 * Not here: conclusions from it (`progress.ts`).
 */
import { type FileHandle, open } from 'node:fs/promises';
import { isIPv4, type Socket } from 'node:net';
import { clearTimeout, nowMs, setImmediate, setTimeout } from '../time.js';

const TABLES = ['/proc/self/net/tcp', '/proc/self/net/tcp6'] as const;
/** Readings within the shortest stall timeout. */
const READINGS = 10;
const LEAST_INTERVAL_MS = 1000;
const MOST_INTERVAL_MS = 5000;
/** Bytes per read: the kernel returns at most a page. */
const PIECE_BYTES = 4096;
/** About 100,000 connections. */
const MAX_BYTES = 16 * 1024 * 1024;
/** Calls of `reading` per event loop turn, at a microsecond each. */
const ASKERS_A_TURN = 256;

/** A connection that is asked about. The kernel reads the queue at some time between the two calls. */
export interface Asker {
  readonly socket: Socket;
  /** The table is about to be read. */
  reading(): void;
  /** The unacknowledged bytes in the table. */
  unacknowledged(bytes: number): void;
}

export class KernelQueues {
  /** By the pair of addresses as the table writes them. */
  #askers = new Map<string, Asker>();
  /** Cached, since thousands may ask every second and addresses never change. */
  readonly #keys = new WeakMap<Socket, string>();
  readonly #tables: readonly string[];
  readonly #patienceMs: () => number;
  #timer: NodeJS.Timeout | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #isReading = false;
  #isClosed = false;

  /** `patienceMs`: the shortest stall timeout of any peer. `tables`: paths, for tests. */
  constructor(patienceMs: () => number, tables: readonly string[] = TABLES) {
    this.#patienceMs = patienceMs;
    this.#tables = tables;
  }

  /** Asks once. The answer arrives within about an interval, or never. */
  ask(asker: Asker): void {
    if (this.#isClosed) return;
    const key = this.#keyOf(asker.socket);
    if (key === null) return;
    this.#askers.set(key, asker);
    if (this.#timer === undefined && !this.#isReading) this.#schedule();
  }

  #schedule(): void {
    const share = this.#patienceMs() / READINGS;
    const interval = Math.min(MOST_INTERVAL_MS, Math.max(LEAST_INTERVAL_MS, share));
    const wait = Math.max(0, this.#readAt + interval - nowMs());
    this.#timer = setTimeout(() => void this.#read(), wait).unref();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#askers.clear();
  }

  async #read(): Promise<void> {
    this.#timer = undefined;
    this.#isReading = true;
    this.#readAt = nowMs();
    const asking = this.#askers;
    this.#askers = new Map();
    let told = 0;
    for (const asker of asking.values()) {
      asker.reading();
      told += 1;
      if (told % ASKERS_A_TURN === 0) await new Promise<void>(setImmediate);
    }
    for (const path of this.#tables) {
      if (asking.size > 0) await readTable(path, asking);
    }
    this.#isReading = false;
    // Connections that asked in the meantime get the next reading.
    if (this.#askers.size > 0) this.#schedule();
  }

  #keyOf(socket: Socket): string | null {
    const known = this.#keys.get(socket);
    if (known !== undefined) return known;
    const key = keyOf(socket);
    if (key !== null) this.#keys.set(socket, key);
    return key;
  }
}

/** Reports to the askers whose connection is in the table, and removes them. */
async function readTable(path: string, asking: Map<string, Asker>): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    let rest = '';
    for (let total = 0; total < MAX_BYTES && asking.size > 0; ) {
      const { bytesRead } = await file.read(piece);
      if (bytesRead === 0) break;
      total += bytesRead;
      rest = readLines(rest + piece.toString('latin1', 0, bytesRead), asking);
    }
  } catch {
    // No such table, or no file descriptor: other evidence of progress has to do.
  } finally {
    await file?.close();
  }
}

/**
 * Parses lines ` 12: LOCAL:PORT REMOTE:PORT ST TX_QUEUE:RX_QUEUE …`; returns the incomplete last line.
 */
function readLines(text: string, asking: Map<string, Asker>): string {
  let start = 0;
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
    const local = text.indexOf(': ', start) + 2;
    const afterLocal = text.indexOf(' ', local);
    const afterRemote = text.indexOf(' ', afterLocal + 1);
    const key = text.slice(local, afterRemote);
    const asker = asking.get(key);
    if (asker !== undefined) {
      asking.delete(key);
      const queue = afterRemote + ' ST '.length;
      asker.unacknowledged(Number.parseInt(text.slice(queue, queue + 8), 16));
    }
    start = end + 1;
  }
  return text.slice(start);
}

/** The two addresses as the table writes them; null if the socket has none. */
function keyOf(socket: Socket): string | null {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  if (localAddress === undefined || remoteAddress === undefined) return null;
  return `${hex(localAddress)}:${port(localPort)} ${hex(remoteAddress)}:${port(remotePort)}`;
}

const port = (value = 0) => value.toString(16).toUpperCase().padStart(4, '0');

/** Words of four bytes, each in processor byte order, last byte first. */
function hex(address: string): string {
  const bytes = isIPv4(address) ? bytesOf4(address) : bytesOf6(address);
  let text = '';
  for (let word = 0; word < bytes.length; word += 4) {
    text += Buffer.from(bytes.slice(word, word + 4).reverse()).toString('hex');
  }
  return text.toUpperCase();
}

const bytesOf4 = (address: string) => address.split('.').map(Number);

function bytesOf6(address: string): number[] {
  // An IPv4 peer of a socket that listens on `::` has its address in the last four bytes.
  const [zoneless = ''] = address.split('%', 1);
  const v4 = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(zoneless);
  const tail = v4 === null ? [] : bytesOf4(v4[2] as string);
  const [head = '', last] = (v4 === null ? zoneless : (v4[1] as string)).split('::');
  const words = (part = '') =>
    part
      .split(':')
      .filter((word) => word !== '')
      .flatMap((word) => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 255]);
  const before = words(head);
  const after = [...words(last), ...tail];
  return [...before, ...new Array<number>(16 - before.length - after.length).fill(0), ...after];
}
