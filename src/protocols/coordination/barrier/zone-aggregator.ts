/**
 * Speaks for a zone: gathers the arrivals of one generation, tells the validators in one command, and passes on how the generation ended.
 *
 * It decides nothing. Arrivals are signed by their nodes and checked by the group; what it forgets, delays or invents costs its zone time
 * and nothing else. So it keeps no promise across a failure: whatever goes wrong, it says `refused`, and participants help themselves.
 */
import type { Timer } from '../../../clock.ts';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import { encodeCertificate } from '../certificates/certificate-codec.ts';
import type { CoordinationTools } from '../tools.ts';
import { type GenerationRef, maxRelayedArrivals, type Outcome, type RelayedArrival } from './commands.ts';
import type { GroupClient } from './group-client.ts';
import { type ArriveFrame, encodeZoneFrame, type OverFrame, type ZoneFrame } from './zone-frames.ts';

/** Generations gathered for at once; one more is refused. */
const maxGatherings = 1_000;
/** Participants of one node in one generation. */
const maxPerNode = 256;
/** Who waits for longer hears from the group by its own renewals, milliseconds. */
const forgetMs = 600_000;

interface Gathering {
  readonly at: GenerationRef;
  readonly zone: string;
  /** By node and name; the latest try. */
  readonly entries: Map<string, RelayedArrival>;
  readonly untold: Set<string>;
  share: number;
  timer: Timer | undefined;
  readonly forget: Timer;
  readonly unsubscribe: () => void;
}

export interface AggregatorParts {
  readonly tools: CoordinationTools;
  readonly group: GroupClient;
  /** Whether certificates are of use: somebody can check them. */
  readonly certify: boolean;
  readonly send: (to: NodeId, frame: ZoneFrame) => boolean;
}

export class ZoneAggregator {
  readonly counters = { relayed: 0, commands: 0, refused: 0 };
  readonly #parts: AggregatorParts;
  readonly #gatherings = new Map<string, Gathering>();

  constructor(parts: AggregatorParts) {
    this.#parts = parts;
  }

  onArrive(from: NodeId, frame: ArriveFrame): void {
    const gathering = this.#admit(from, frame);
    const { at, as, attempt, signature } = frame;
    if (gathering === undefined) {
      this.counters.refused += 1;
      this.#parts.send(from, { t: 'refused', at, as, attempt });
      return;
    }
    const key = `${from}/${as}`;
    gathering.entries.set(key, { node: from, as, attempt, signature: new Uint8Array(signature) });
    gathering.untold.add(key);
    gathering.share = Math.max(gathering.share, frame.share);
    this.#parts.send(from, { t: 'taken', at, as, attempt });
    if (gathering.share > 0 && gathering.entries.size >= gathering.share) this.#flush(gathering);
    else gathering.timer ??= this.#parts.tools.clock.after(frame.patienceMs, () => this.#flush(gathering));
  }

  stop(): void {
    for (const gathering of [...this.#gatherings.values()]) this.#drop(gathering);
  }

  #admit(from: NodeId, frame: ArriveFrame): Gathering | undefined {
    if (frame.zone !== this.#parts.tools.zone) return undefined;
    const known = this.#gatherings.get(keyOf(frame.at));
    if (known === undefined && this.#gatherings.size >= maxGatherings) return undefined;
    if (known !== undefined && !known.entries.has(`${from}/${frame.as}`)) {
      const ofNode = [...known.entries.values()].filter(({ node }) => node === from).length;
      if (ofNode >= maxPerNode) return undefined;
    }
    // The channel says who it is; whether it signed well is for the group to see, and costs nobody else their place.
    return known ?? this.#begin(frame.at);
  }

  #begin(at: GenerationRef): Gathering {
    const { tools, group } = this.#parts;
    const gathering: Gathering = {
      at,
      zone: tools.zone,
      entries: new Map(),
      untold: new Set(),
      share: 0,
      timer: undefined,
      forget: tools.clock.after(forgetMs, () => this.#drop(gathering)),
      unsubscribe: group.hear(
        at,
        (outcome) => {
          if (outcome.generation === at.generation) void this.#conclude(gathering, outcome);
        },
        () => void this.#look(gathering),
      ),
    };
    this.#gatherings.set(keyOf(at), gathering);
    return gathering;
  }

  #flush(gathering: Gathering): void {
    gathering.timer?.cancel();
    gathering.timer = undefined;
    const keys = [...gathering.untold];
    gathering.untold.clear();
    for (let from = 0; from < keys.length; from += maxRelayedArrivals) {
      void this.#submit(gathering, keys.slice(from, from + maxRelayedArrivals));
    }
  }

  async #submit(gathering: Gathering, keys: readonly string[]): Promise<void> {
    const { at, zone, entries } = gathering;
    const arrivals = keys.flatMap((key) => entries.get(key) ?? []);
    this.counters.commands += 1;
    this.counters.relayed += arrivals.length;
    try {
      const { standing, refused } = await this.#parts.group.relay({ at, zone, arrivals }, {});
      if (standing.state === 'over') await this.#conclude(gathering, standing.outcome);
      for (const index of refused) this.#refuse(gathering, arrivals[index]);
    } catch (error) {
      if (!(error instanceof QuorateError)) this.#parts.tools.onError(error, 'telling of arrivals at a barrier');
      for (const arrival of arrivals) this.#refuse(gathering, arrival);
    }
  }

  #refuse(gathering: Gathering, arrival: RelayedArrival | undefined): void {
    if (arrival === undefined) return;
    const key = `${arrival.node}/${arrival.as}`;
    if (gathering.entries.get(key) !== arrival) return;
    gathering.entries.delete(key);
    this.#parts.send(arrival.node as NodeId, {
      t: 'refused',
      at: gathering.at,
      as: arrival.as,
      attempt: arrival.attempt,
    });
    if (gathering.entries.size === 0) this.#drop(gathering);
  }

  async #look(gathering: Gathering): Promise<void> {
    try {
      const standing = await this.#parts.group.outcome(gathering.at, {});
      if (standing.state === 'over') await this.#conclude(gathering, standing.outcome);
    } catch (error) {
      // Participants find out by their renewals.
      if (!(error instanceof QuorateError)) this.#parts.tools.onError(error, 'asking how a barrier ended');
    }
  }

  async #conclude(gathering: Gathering, outcome: Outcome): Promise<void> {
    if (this.#gatherings.get(keyOf(gathering.at)) !== gathering) return;
    this.#drop(gathering);
    const { tools, send } = this.#parts;
    const nodes = new Set([...gathering.entries.values()].map(({ node }) => node as NodeId));
    const plain: OverFrame = { t: 'over', at: gathering.at, outcome, certificate: null };
    // What this node has heard from the group needs no proof to itself.
    if (nodes.delete(tools.self)) send(tools.self, plain);
    if (nodes.size === 0) return;
    const frame: OverFrame = { ...plain, certificate: await this.#certificate(gathering.at) };
    for (const node of nodes) send(node, fits(frame) ? frame : plain);
  }

  async #certificate(at: GenerationRef): Promise<Uint8Array | null> {
    if (!this.#parts.certify) return null;
    try {
      return encodeCertificate(await this.#parts.group.certify(at, {}));
    } catch (error) {
      // Without it participants ask for themselves.
      if (!(error instanceof QuorateError)) this.#parts.tools.onError(error, 'certifying the end of a barrier');
      return null;
    }
  }

  #drop(gathering: Gathering): void {
    gathering.timer?.cancel();
    gathering.timer = undefined;
    gathering.forget.cancel();
    gathering.unsubscribe();
    if (this.#gatherings.get(keyOf(gathering.at)) === gathering) this.#gatherings.delete(keyOf(gathering.at));
  }
}

const keyOf = (at: GenerationRef): string => `${at.epoch}/${at.generation}/${at.id}`;

function fits(frame: OverFrame): boolean {
  try {
    encodeZoneFrame(frame);
    return true;
  } catch (error) {
    if (error instanceof QuorateError) return false;
    throw error;
  }
}
