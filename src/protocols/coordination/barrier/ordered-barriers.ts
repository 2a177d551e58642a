/** Barriers over any ordering of commands; with a link to the zone also hierarchical ones. */

import * as v from 'valibot';
import { QuorateError } from '../../../errors.ts';
import type { CoordinationTools } from '../tools.ts';
import { Attendance } from './attendance.ts';
import type {
  ArriveOptions,
  Barrier,
  BarrierCounters,
  BarrierOptions,
  BarrierPassage,
  BarrierProvider,
  BarrierStatus,
} from './barrier.ts';
import type { Outcome } from './commands.ts';
import { GroupClient } from './group-client.ts';
import { KnownBarrier } from './known-barrier.ts';
import { checkId, nameSchema, termsFromOptions } from './terms.ts';
import type { ZoneLink } from './zone-link.ts';
import type { CheckCertificate } from './zone-participant.ts';
import { ZoneRelay } from './zone-relay.ts';

interface Call {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

export interface ZoneParts {
  readonly link: ZoneLink;
  readonly check?: CheckCertificate | undefined;
}

export class OrderedBarriers implements BarrierProvider {
  readonly #tools: CoordinationTools;
  readonly #group: GroupClient;
  readonly #relay: ZoneRelay | undefined;
  /** Barrier and name of everybody who waits in this process. */
  readonly #waiting = new Set<string>();
  #attempt = 0;
  #direct = 0;

  /** Without `zone` hierarchical barriers work like flat ones. */
  constructor(tools: CoordinationTools, zone?: ZoneParts) {
    this.#tools = tools;
    this.#group = new GroupClient(tools);
    if (zone === undefined) return;
    const { link, check } = zone;
    this.#relay = new ZoneRelay({ tools, group: this.#group, link, check });
  }

  get counters(): BarrierCounters {
    const relay = this.#relay;
    return {
      toGroup: this.#group.sent,
      toZone: (relay?.counters.sent ?? 0) + (relay?.counters.received ?? 0),
      arrivedDirectly: this.#direct,
      relayed: relay?.aggregator.counters.relayed ?? 0,
      relayCommands: relay?.aggregator.counters.commands ?? 0,
      refused: (relay?.counters.refused ?? 0) + (relay?.aggregator.counters.refused ?? 0),
    };
  }

  async barrier(options: BarrierOptions, how: Call = {}): Promise<Barrier> {
    checkId(options.id);
    const known = new KnownBarrier(options.id, termsFromOptions(options), this.#group, this.#tools);
    known.vanished(); // Remembers who is there now.
    await known.reopen(how);
    return {
      id: known.id,
      arrive: (arriveOptions) => this.#arrive(known, arriveOptions ?? {}),
      reportLost: (agent) => this.#reportLost(known, agent),
      status: (call) => this.#status(known, call ?? {}),
    };
  }

  /** Passes nothing on any more. Those who wait here end with their own deadlines. */
  stop(): void {
    this.#relay?.stop();
  }

  async #arrive(barrier: KnownBarrier, options: ArriveOptions): Promise<BarrierPassage> {
    const as = this.#nameFor(barrier, options.as);
    const key = `${as}\0${barrier.id}`;
    if (this.#waiting.has(key)) {
      throw new QuorateError(
        'INVALID_ARGUMENT',
        `'${as}' waits at the barrier '${barrier.id}' in this process already. Give each participant its own name: arrive({ as: … }).`,
        { name: barrier.id, as },
      );
    }
    this.#waiting.add(key);
    try {
      const attendance = new Attendance({
        tools: this.#tools,
        group: this.#group,
        barrier,
        zone: barrier.terms.strategy === 'hierarchical' ? this.#relay?.participant : undefined,
        as,
        nextAttempt: (above) => this.#nextAttempt(above),
        onDirect: () => {
          this.#direct += 1;
        },
      });
      return passageOf(barrier, await attendance.run(options.timeoutMs ?? this.#tools.timeoutMs, options.signal));
    } finally {
      this.#waiting.delete(key);
    }
  }

  #nameFor(barrier: KnownBarrier, as: string | undefined): string {
    const { self } = this.#tools;
    const { who } = barrier.terms;
    if (as === undefined) {
      if (who.kind !== 'list') return self;
      const [own, another] = barrier.own(self);
      if (own !== undefined && another === undefined) return own;
      const why = own === undefined ? 'none of its participants lives' : 'several of its participants live';
      throw invalidName(barrier, `${why} on this node`);
    }
    if (!v.is(nameSchema, as)) throw invalidName(barrier, 'a name has 1 to 256 characters');
    const home = who.kind === 'list' ? this.#tools.locate(as)?.node : undefined;
    if (home === undefined || home === self) return as;
    throw new QuorateError(
      'NOT_PERMITTED',
      `'${as}' lives on ${home}, so it cannot come to the barrier '${barrier.id}' from here. Arrive where it lives.`,
      { id: barrier.id, agent: as, node: home, reason: 'lives elsewhere' },
    );
  }

  /** Rises in this process, and by the wall clock across restarts; where that fails, the group names a higher one. */
  #nextAttempt(above: number): number {
    this.#attempt = Math.max(this.#attempt + 1, above + 1, Math.floor(this.#tools.clock.wallNow()));
    return this.#attempt;
  }

  async #reportLost(barrier: KnownBarrier, agent: string): Promise<void> {
    if (barrier.terms.who.kind !== 'list' || !barrier.terms.who.agents.includes(agent)) {
      throw new QuorateError(
        'INVALID_ARGUMENT',
        `'${agent}' is not named by the terms of the barrier '${barrier.id}', so it cannot be reported lost. Name its participants.`,
        { name: barrier.id, agent },
      );
    }
    const status = await this.#status(barrier, {});
    const at = { ...barrier.at, generation: status.generation };
    await this.#group.report(at, [agent], {});
  }

  async #status(barrier: KnownBarrier, call: Call): Promise<BarrierStatus> {
    let found = await this.#group.status(barrier.id, call);
    if (found === undefined || found.epoch !== barrier.at.epoch) {
      await barrier.reopen(call);
      found = await this.#group.status(barrier.id, call);
    }
    if (found === undefined) {
      throw new QuorateError('NOT_FOUND', `The barrier '${barrier.id}' is gone. Make it anew.`, { id: barrier.id });
    }
    barrier.begin(found.generation);
    const { epoch: _, firstArrivalAt, deadlineAt, last, ...rest } = found;
    return {
      id: barrier.id,
      ...rest,
      firstArrivalAt: firstArrivalAt ?? undefined,
      deadlineAt: deadlineAt ?? undefined,
      last: last === null ? undefined : withoutToken(last),
    };
  }
}

function withoutToken({ token: _, ...rest }: Outcome): NonNullable<BarrierStatus['last']> {
  return rest;
}

const whyBroken: Readonly<Record<Outcome['reason'], string>> = {
  '': 'it opened',
  lost: 'a participant is lost',
  deadline: 'its deadline passed',
  'below-minimum': 'too many participants are lost',
};

function passageOf(barrier: KnownBarrier, outcome: Outcome): BarrierPassage {
  const { generation, opened, reason, arrived, missing, missingUnnamed, token } = outcome;
  if (opened) return { generation, arrived, missing, missingUnnamed, token };
  const names = missing.slice(0, 8).join(', ') + (missing.length > 8 ? ', …' : '');
  const absent = missing.length === 0 ? `${missingUnnamed} are missing` : `missing: ${names}`;
  throw new QuorateError(
    'BARRIER_BROKEN',
    `Generation ${generation} of the barrier '${barrier.id}' is broken: ${whyBroken[reason]} (${absent}). Everybody who waited hears this; the next arrive belongs to the next generation.`,
    { name: barrier.id, generation, reason, arrived, missing, missingUnnamed },
  );
}

const invalidName = (barrier: KnownBarrier, why: string): QuorateError =>
  new QuorateError(
    'INVALID_ARGUMENT',
    `In whose name to come to the barrier '${barrier.id}' is not clear: ${why}. Say arrive({ as: … }).`,
    { name: barrier.id },
  );
