/** A barrier: nobody goes on before everybody has come. What users see of it. */
import type { AgentId } from '../../../value.ts';

/**
 * What becomes of a generation when one of its participants is lost.
 * - `wait`: it waits for the lost one to come back, until the deadline, and is broken then.
 * - `break`: it is broken at once, for everybody.
 * - `proceed`: it opens without the lost, if `minimum` have come; who has not come by the deadline counts as lost.
 */
export type LossRule = 'wait' | 'break' | 'proceed';

export interface BarrierOptions {
  /** Unique in the mesh; whoever names it with the same terms meets at the same barrier. 1 to 256 characters. */
  readonly id: string;
  /**
   * Who is waited for: agents by name, or how many. A barrier that only counts cannot know who is missing, nor notice
   * that one who never came is lost; only names make that possible. Either this or `perZone`.
   */
  readonly participants?: readonly AgentId[] | number;
  /** How many are waited for in each zone. */
  readonly perZone?: Readonly<Record<string, number>>;
  /**
   * `flat`: each participant tells the validators. `hierarchical`: the nodes of one zone send one message together, and hear of the opening
   * through one of them; less for the validators to do, one hop more. Default `flat`.
   */
  readonly strategy?: 'flat' | 'hierarchical';
  /** Default `wait`. */
  readonly onLost?: LossRule;
  /** How long a generation may take from its first arrival, milliseconds of agreed time. Default: as long as somebody waits. */
  readonly deadlineMs?: number;
  /** With `proceed`: how many must have come at least. Default 1. */
  readonly minimum?: number;
  /**
   * How long an arrival stands without a sign of life, milliseconds; it is renewed every third of that. Default 10,000.
   * Who is silent for longer is lost.
   */
  readonly leaseMs?: number;
}

/** The generation opened. Everybody who waited gets the same. */
export interface BarrierPassage {
  /** The first is 1; each opens or breaks once. */
  readonly generation: number;
  /** How many had come. */
  readonly arrived: number;
  /**
   * Who had not, by name: those named in the terms, or, where only numbers are, those who had come and were lost.
   * A process that slept past its lease can find itself here.
   */
  readonly missing: readonly string[];
  /** How many more are missing whom nobody can name. */
  readonly missingUnnamed: number;
  /** Fencing token: higher than that of every earlier generation, and of every grant before. */
  readonly token: number;
}

export interface BarrierStatus {
  readonly id: string;
  /** The generation that the next arrival belongs to. */
  readonly generation: number;
  readonly expected: number;
  readonly arrivedCount: number;
  /** Up to 64 names where the terms name nobody; all otherwise. */
  readonly arrived: readonly string[];
  readonly missing: readonly string[];
  readonly missingUnnamed: number;
  /** Those who are lost, by name. */
  readonly lost: readonly string[];
  /** Agreed time of the first arrival, milliseconds since 1970. */
  readonly firstArrivalAt: number | undefined;
  /** Agreed time at which this generation ends at the latest, milliseconds since 1970. */
  readonly deadlineAt: number | undefined;
  /** How the generation before ended. */
  readonly last: (Omit<BarrierPassage, 'token'> & { readonly opened: boolean; readonly reason: string }) | undefined;
}

export interface ArriveOptions {
  /**
   * In whose name. Default: where participants are named, the one of them that lives on this node; otherwise the node itself.
   * Two participants in one process need two names.
   */
  readonly as?: string;
  readonly signal?: AbortSignal | undefined;
  /** Default: `coordination.timeoutMs` of the mesh. */
  readonly timeoutMs?: number | undefined;
}

export interface Barrier {
  readonly id: string;
  /**
   * Comes to the barrier and waits for the others; the next call belongs to the next generation.
   *
   * Rejects with `BARRIER_BROKEN` (everybody of the generation alike), `TIMED_OUT` (only this caller; its arrival is taken back, and
   * `data.withdrawn` false says that this could not be confirmed, so it ends with its lease), `NOT_PERMITTED` (no participant, or held by another node),
   * `LIMIT_EXCEEDED` (the zone's share is complete), or as every operation of coordination does. If the generation opened while
   * the caller gave up, it resolves.
   *
   * @example
   * const barrier = await barriers.barrier({ id: 'epoch', participants: ['a', 'b', 'c'], onLost: 'break', deadlineMs: 30_000 });
   * for (;;) {
   *   await trainOneEpoch();
   *   const { generation } = await barrier.arrive({ as: 'a' });
   * }
   */
  arrive(options?: ArriveOptions): Promise<BarrierPassage>;
  /**
   * Says that a named participant is lost, if you know better than its silence. Counts when two nodes say so; one who is waiting is not
   * lost whatever others say. Nodes that wait do this by themselves for agents that vanished from the registry.
   */
  reportLost(agent: AgentId): Promise<void>;
  status(options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<BarrierStatus>;
}

/** What a node's barriers cost, since its start. Messages to the validators are what a hierarchy saves. */
export interface BarrierCounters {
  /** Commands and queries to the validators, everything included. */
  readonly toGroup: number;
  /** Messages to the zone, in either direction. */
  readonly toZone: number;
  /** Arrivals told to the validators by their own node. */
  readonly arrivedDirectly: number;
  /** Arrivals of others that this node told the validators, and in how many commands. */
  readonly relayed: number;
  readonly relayCommands: number;
  /** What came from the zone and was refused: malformed, forged, too much. */
  readonly refused: number;
}

export interface BarrierProvider {
  /**
   * The barrier of that id, made if there is none. Rejects with `ALREADY_EXISTS` when it exists with other terms (`data.existing`, `data.wanted`),
   * `INVALID_ARGUMENT`, `LIMIT_EXCEEDED`, or as every operation of coordination does. A barrier where nobody waited for an hour is forgotten and
   * begins again with generation 1; tokens keep rising.
   *
   * @example
   * const ready = await barriers.barrier({ id: 'ready', perZone: { north: 4, south: 4 }, strategy: 'hierarchical' });
   * await ready.arrive();
   */
  barrier(
    options: BarrierOptions,
    how?: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<Barrier>;
  readonly counters: BarrierCounters;
}
