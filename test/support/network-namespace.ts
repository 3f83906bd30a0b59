/**
 * A network namespace for a node, with a link to Redis and another to its members. The link to Redis
 * can be cut in one direction without either end being told.
 */
import { execFileSync, spawnSync } from 'node:child_process';

const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });

/** Why namespaces cannot be used here; null if they can. */
export const whyNoNamespaces = (() => {
  const name = `rcprobe${process.pid}`;
  const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' });
  if (made.error !== undefined) return 'apt-get install iproute2';
  if (made.status !== 0) return `root is needed: ${made.stderr.trim()}`;
  spawnSync('ip', ['netns', 'delete', name]);
  return null;
})();

if (whyNoNamespaces !== null) {
  console.warn(`Tests with networks of their own are skipped: ${whyNoNamespaces}`);
}

interface Link {
  /** Names and addresses of the end here, and of the one in the namespace. */
  readonly here: string;
  readonly there: string;
  readonly hereAddress: string;
  readonly thereAddress: string;
}

/** An unused address: frames sent to it arrive and are discarded. */
const NOBODY = '02:00:00:00:00:ff';
/** Networks that one test file may have. */
const NETWORKS = 16;
let count = 0;

/** Both ends of the next network. Test files run side by side: each has networks of its own. */
function nextNetwork(): [here: string, there: string] {
  // Networks of four addresses in 198.18.0.0/15, a range for tests.
  const first = ((process.pid * NETWORKS + count) % 2 ** 15) * 4;
  count += 1;
  const start = `198.${18 + (first >> 16)}.${(first >> 8) & 255}`;
  return [`${start}.${(first & 255) + 1}`, `${start}.${(first & 255) + 2}`];
}

export class NetworkNamespace {
  readonly #name: string;
  readonly #back: Link;
  readonly #front: Link;

  constructor() {
    // An interface name has at most 15 characters.
    const id = `${process.pid % 10_000}n${count}`;
    this.#name = `rc${id}`;
    ip('netns', 'add', this.#name);
    this.#back = this.#link(`rb${id}`, 'back');
    this.#front = this.#link(`rf${id}`, 'front');
    ip('-n', this.#name, 'link', 'set', 'lo', 'up');
  }

  /** The command prefix that runs another command in the namespace. */
  get by(): string[] {
    return ['ip', 'netns', 'exec', this.#name];
  }

  /** Address of Redis, seen from the namespace. */
  get redisAddress(): string {
    return this.#back.hereAddress;
  }

  /** Address of the namespace on that link, for a Redis that runs in it. */
  get backAddress(): string {
    return this.#back.thereAddress;
  }

  /** Address of the node for members. */
  get address(): string {
    return this.#front.thereAddress;
  }

  /** Drops all data to Redis (`up`) or from it (`down`) from now on. */
  cut(direction: 'up' | 'down'): void {
    const { here, there, hereAddress, thereAddress } = this.#back;
    const wrong = ['nud', 'permanent', 'lladdr', NOBODY];
    if (direction === 'down') ip('neigh', 'replace', thereAddress, 'dev', here, ...wrong);
    else ip('-n', this.#name, 'neigh', 'replace', hereAddress, 'dev', there, ...wrong);
  }

  heal(): void {
    const { here, there, hereAddress, thereAddress } = this.#back;
    spawnSync('ip', ['neigh', 'delete', thereAddress, 'dev', here]);
    spawnSync('ip', ['-n', this.#name, 'neigh', 'delete', hereAddress, 'dev', there]);
  }

  close(): void {
    ip('netns', 'delete', this.#name);
  }

  #link(here: string, there: string): Link {
    const [hereAddress, thereAddress] = nextNetwork();
    ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there, 'netns', this.#name);
    ip('address', 'add', `${hereAddress}/30`, 'dev', here);
    ip('link', 'set', here, 'up');
    ip('-n', this.#name, 'address', 'add', `${thereAddress}/30`, 'dev', there);
    ip('-n', this.#name, 'link', 'set', there, 'up');
    return { here, there, hereAddress, thereAddress };
  }
}
