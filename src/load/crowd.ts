/**
 * A crowd outside of a load test: members in their cohorts and a publisher among them; the slow ones are
 * slow from `disturb` until `behave`. For the demo, and for tests of the live page.
 * Not here: phases and figures of a test (engine.ts), how a cohort is slow (member.ts).
 */
import { cohortOfMembers } from './assign.js';
import { machineMicros } from './clock.js';
import { meet } from './contact.js';
import { Crew } from './crew.js';
import { LoadError } from './error.js';
import type { Counters } from './measure/tally.js';
import { Member } from './member.js';
import { resolvePlan, roomName, type Scenario } from './plan.js';
import { Publishers } from './publishers.js';
import { Stamps } from './stamp.js';
import { openTarget } from './targets/index.js';

/** Members that connect at the same time. */
const CONNECTING = 50;

export class Crowd {
  readonly #crew: Crew;
  readonly #members: readonly Member[];
  readonly #publishers: Publishers;

  /**
   * Resolves once all members are in the room.
   *
   * @param url of a roomcast, such as `http://127.0.0.1:8080`
   * @param scenario members, cohorts and rate; phases are ignored
   * @param tag four hex digits in the name of the room
   * @throws LoadError `bad_option`; `unreachable` if a member cannot connect or join
   */
  static async join(url: string, scenario: Scenario, tag: string): Promise<Crowd> {
    const target = {
      name: 'roomcast',
      url,
      transport: 'websocket',
      headers: {},
      templates: {},
    } as const;
    const plan = resolvePlan({ ...scenario, rooms: '1', publishFrom: 'members' }, target, 1, tag);
    await meet(plan);
    const stamps = new Stamps(plan.tag);
    const onFault = (fault: LoadError): never => {
      throw fault;
    };
    const opened = await openTarget(plan.target, stamps, onFault);
    const crowd = new Crowd(new Crew(plan, 0, machineMicros(), stamps, opened, []));
    await crowd.#connect();
    return crowd;
  }

  private constructor(crew: Crew) {
    this.#crew = crew;
    const cohorts = cohortOfMembers(crew.plan);
    this.#members = crew.members().map((number) => new Member(crew, number, cohorts[number]!));
    this.#publishers = new Publishers(crew);
  }

  get room(): string {
    return roomName(this.#crew.plan, 0);
  }

  get published(): number {
    return this.#publishers.counters.sent;
  }

  /** Messages that reached members. */
  get received(): number {
    return this.#sum(({ received }) => received);
  }

  /** Messages that members were told they will not get. */
  get missed(): number {
    return this.#sum(({ announced }) => announced);
  }

  /** Connections that the server ended, by reason. */
  get ended(): Readonly<Record<string, number>> {
    const sum: Record<string, number> = {};
    for (const { counters } of this.#crew.tallies) {
      for (const [why, times] of Object.entries(counters.closes))
        sum[why] = (sum[why] ?? 0) + times;
    }
    return sum;
  }

  /** Starts publishing on a healthy member's connection, at the scenario's rate. */
  publish(): void {
    this.#crew.stage = 'publishing';
    this.#publishers.begin(this.#crew.now(), Number.POSITIVE_INFINITY);
  }

  hush(): void {
    this.#publishers.stop();
  }

  /** Makes each slow cohort slow in its way. */
  disturb(): void {
    for (const member of this.#members) member.disturb();
  }

  /** All members read again; absent ones reconnect or rejoin. */
  behave(): void {
    for (const member of this.#members) member.behave();
  }

  close(): void {
    this.hush();
    for (const member of this.#members) member.close();
    for (const member of this.#members) member.session?.link.reset();
    for (const link of this.#crew.abandoned) link.reset();
  }

  async #connect(): Promise<void> {
    for (let at = 0; at < this.#members.length; at += CONNECTING) {
      const next = this.#members.slice(at, at + CONNECTING);
      await Promise.all(
        next.map((member) => new Promise<void>((settled) => member.connect(settled))),
      );
      const failures = this.#crew.tallies.flatMap(({ counters }) => Object.keys(counters.failures));
      if (failures.length > 0) {
        this.close();
        throw new LoadError('unreachable', `a member could not join ${this.room}: ${failures[0]}`);
      }
    }
    await this.#publishers.connect(
      () => this.#members.find(({ cohort }) => cohort.kind === 'healthy')?.session?.link,
    );
  }

  #sum(of: (counters: Counters) => number): number {
    return this.#crew.tallies.reduce((sum, { counters }) => sum + of(counters), 0);
  }
}
