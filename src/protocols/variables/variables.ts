/**
 * The variables protocol: tunables that a whole fleet of agents shares ("cognitive variables").
 *
 * Every node may contribute a value of its own, with a weight and with how well it did; the value that all read is a pure
 * function (`resolve`) of the contributions of live nodes. So there is no writer to wait for and no conflict to lose: nodes that have
 * heard the same contributions show the same value. With `sync: 'strong'` there is one value instead, changed by compare-and-set
 * through the validators.
 *
 * Implementations: one process, and the signed feeds of a mesh (`sharing/`); the same core over both.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';
import type { OrderingOptions } from '../coordination/ordering.ts';
import type { Criteria } from '../registry/records.ts';

/** Whose contributions count: this node's only (nothing is sent), those of its zone, or everybody's. */
export type VariableScope = 'node' | 'zone' | 'cluster';

/**
 * What becomes of a number out of range, or off the grid of `step`. `clamp`: the nearest allowed one. `reject`: `OUT_OF_RANGE`. `wrap`: counted on from
 * the other end; of a `float` both ends are the same point, as of an angle, of an `integer` the last is followed by the first, as of an hour. It concerns what this node sets; contributions of others out of range never count.
 */
export type RangePolicy = 'clamp' | 'reject' | 'wrap';

/** One live node's say, already checked. */
export interface Contribution<T> {
  readonly node: NodeId;
  readonly value: T;
  /** What the contributor asks for, 0 to `maxWeight`; 1 unless said. */
  readonly weight: number;
  /** How well it did with this value, 0 (worst) to 1 (best), as it says; undefined before its first report. */
  readonly performance: number | undefined;
  /** Hybrid logical time of the contribution: larger is later. */
  readonly at: number;
}

/**
 * - `weightedAverageByPerformance` (numbers; the default for them): the mean, weighted by `weight` × `performance`. Contributions without a report count as the
 *   median of those reported, 1 when there are none. Linear: a liar moves it in proportion to its share of the weight.
 * - `median`, `trimmedMean` (numbers): by `weight`, whatever the performance; under half (a quarter) of the weight cannot move them past the honest values.
 * - `max`, `min` (numbers), `lastWriter` (any): a single liar decides them within the bounds.
 * - `majority` (booleans and choices; the default for them): the value with the greatest sum of `weight` × `performance`.
 */
export type BuiltInRule =
  | 'weightedAverageByPerformance'
  | 'lastWriter'
  | 'max'
  | 'min'
  | 'median'
  | 'trimmedMean'
  | 'majority';

/** A rule of the application: pure, and the same on every node; `name` is compared instead of the code. What it throws or gives that is not allowed is reported, and
 * replaced by the latest contribution; a number is brought to the nearest allowed one. */
export interface CustomRule<T> {
  readonly name: string;
  /** `contributions` is not empty, and ordered by node id. */
  readonly resolve: (contributions: readonly Contribution<T>[]) => T;
}

/** Which agents are told of each change: ids, or whoever matches the criteria, also those that appear later. */
export type AffectedAgents =
  | readonly AgentId[]
  | Criteria
  | {
      readonly agents: readonly AgentId[] | Criteria;
      /** Method that is called with a `VariableNotice`. Default `variableChanged`. */
      readonly method?: string | undefined;
    };

/** What an affected agent is called with. */
export interface VariableNotice<T = Value> {
  readonly variable: string;
  readonly value: T;
  /**
   * Rises with each notice from one node. The same one may come again (at least once), and around an agreement or when another node takes over the telling an
   * agent may hear of one value twice, under two versions that need not rise.
   */
  readonly version: number;
  /** True when everybody agreed on this value (`coordinate`, or `sync: 'strong'`). */
  readonly agreed: boolean;
  /** Changes left out before this one, because the agent was too slow for all of them; 0 as a rule. */
  readonly skipped: number;
}

/** What all kinds have in common. What must be alike on all nodes: everything but `description`, `migrate`, `historySize` and `outOfRange`. */
export interface VariableOptions<T> {
  readonly default: T;
  /** Default `'cluster'`. */
  readonly scope?: VariableScope | undefined;
  readonly affects?: AffectedAgents | undefined;
  /** `'strong'`: one value, changed by compare-and-set through the validators. Default `'eventual'`. */
  readonly sync?: 'eventual' | 'strong' | undefined;
  readonly resolve?: BuiltInRule | CustomRule<T> | undefined;
  /** Most a contribution may weigh. Default 1, so that nobody outweighs others by asking for it. */
  readonly maxWeight?: number | undefined;
  readonly description?: string | undefined;
  /**
   * Whole number from 1, the default. All nodes that define a name at the same version must define it alike. Contributions of an older version
   * count as far as `migrate` translates them; those of a newer one do not count here.
   */
  readonly version?: number | undefined;
  /** A value of an older version as one of this version; undefined when there is none. Pure. */
  readonly migrate?: ((value: Value, fromVersion: number) => T | undefined) | undefined;
  /** Changes kept for `history`. Default 100. */
  readonly historySize?: number | undefined;
}

/** Numbers between `min` and `max`, both included. */
export interface NumberOptions extends VariableOptions<number> {
  readonly min: number;
  readonly max: number;
  /** Values are `min` plus a multiple of it. Default: any (`float`), 1 (`integer`). */
  readonly step?: number | undefined;
  /** For people: `'°C'`, `'tokens'`. */
  readonly unit?: string | undefined;
  /** Default `'clamp'`. */
  readonly outOfRange?: RangePolicy | undefined;
}

/** One of a list of texts. */
export interface ChoiceOptions<T extends string> extends VariableOptions<T> {
  readonly choices: readonly T[];
  /** One of `choices`. */
  readonly default: NoInfer<T>;
  /**
   * With `resolve: 'majority'`: the choice shown is left for another only when that one's score is greater by this share, 0.1 for 10 %. Default 0. A switch made by one node
   * is taken over by all, so that the mesh does not flutter.
   */
  readonly threshold?: number | undefined;
  /** … and not before the present one has been shown for so long, milliseconds. Default 0. */
  readonly cooldownMs?: number | undefined;
}

/** Structured values, checked by a schema. */
export interface CompositeOptions<S extends StandardSchemaV1>
  extends Omit<VariableOptions<StandardSchemaV1.InferOutput<S>>, 'resolve'> {
  /**
   * Any Standard Schema whose check is synchronous and leaves what it has returned itself as it is. Contributions that do not pass it never count. At most
   * 16 KiB encoded (`PAYLOAD_TOO_LARGE`). Not compared between nodes.
   */
  readonly schema: S;
  /** Conditions across fields, by name; each must hold. Pure. */
  readonly constraints?: { readonly [name: string]: (value: StandardSchemaV1.InferOutput<S>) => boolean } | undefined;
  /**
   * A rule for the whole (default `lastWriter`), or one for each top-level field, resolved separately; a result that breaks the schema or a
   * constraint is replaced by the latest contribution.
   */
  readonly resolve?:
    | Extract<BuiltInRule, 'lastWriter' | 'majority'>
    | CustomRule<StandardSchemaV1.InferOutput<S>>
    | { readonly fields: { readonly [field: string]: BuiltInRule } }
    | undefined;
}

/** How much a contribution weighs; of strong variables what it depends on. */
export interface SetOptions extends OrderingOptions {
  /** 0 to `maxWeight`. Default 1, or what this node's last contribution had. Not for strong variables. */
  readonly weight?: number | undefined;
  /** Strong variables: only if this is still the version. `CONFLICT` otherwise. */
  readonly ifVersion?: number | undefined;
}

/** What `set` and `coordinate` resolve with. */
export interface VariableWrite<T> {
  /** The value as it was taken: clamped or wrapped, say. */
  readonly value: T;
  readonly version: number;
  /** Affected agents that have acknowledged, and those that have not, with why. Empty for eventual variables: those are told behind. */
  readonly acknowledged: readonly AgentId[];
  readonly unacknowledged: readonly { readonly agent: AgentId; readonly reason: string }[];
}

/** What is to be agreed on, and for how long to wait (`timeoutMs`, `signal`). */
export interface CoordinateOptions<T> extends OrderingOptions {
  readonly consistency: 'strong';
  /** What to agree on. Default: what this node shows now. */
  readonly value?: T | undefined;
  /** Only if this is the version agreed on last (`agreed.version`; 0: none). `CONFLICT` otherwise. Default: whatever was agreed on before. */
  readonly ifVersion?: number | undefined;
}

/** One step of the value that this node showed. */
export interface VariableChange<T> {
  readonly value: T;
  readonly previous: T;
  /** Rises with each change seen on this node. Not comparable between nodes, except for strong variables. */
  readonly version: number;
  /** Wall clock here, milliseconds since 1970. */
  readonly at: number;
  /** Whose contribution, departure or agreement changed it; undefined when it was an agreement or a new definition. */
  readonly cause: NodeId | undefined;
}

/** Why the value is what it is. */
export interface VariableExplanation<T> {
  readonly value: T;
  readonly rule: string;
  /** `default`: nobody contributes. `agreed`: nobody has contributed since the agreement. */
  readonly source: 'default' | 'contributions' | 'agreed';
  /** Each contribution that counted, and its share of the decision, 0 to 1. */
  readonly counted: readonly (Contribution<T> & { readonly share: number })[];
  /** Entries that did not count, and why: out of range, another version or definition, before the agreement, another zone. */
  readonly ignored: readonly { readonly node: NodeId; readonly reason: string }[];
  /** In words, one line. */
  readonly summary: string;
}

/** A variable as this node has it. Make it once and keep it: reading it costs what a field does. */
export interface Variable<T> extends Disposable {
  readonly name: string;
  readonly kind: 'float' | 'integer' | 'boolean' | 'choice' | 'composite';
  /** What all nodes that know the same have: local, synchronous, about as cheap as a `Map.get`. */
  readonly value: T;
  /** Version of the last change seen here; 0 before the first. */
  readonly version: number;
  /** What was agreed on last (`coordinate`, `sync: 'strong'`), as far as this node has heard. */
  readonly agreed: { readonly value: T; readonly version: number } | undefined;
  /** Set when another node defined the name differently and before us: this node's contributions count nowhere. `DEFINITION_CONFLICT`. */
  readonly conflict: Error | undefined;
  /**
   * Contributes a value (eventual: counts here at once, elsewhere within milliseconds), or sets the one value (strong: through the validators; resolves
   * when the affected agents have acknowledged or the time is up). Its performance is unknown until the next `report`.
   * Throws `OUT_OF_RANGE`, `DEFINITION_CONFLICT`, `INVALID_ARGUMENT`, `STOPPED`; of composites `PAYLOAD_TOO_LARGE`; strong: `CONFLICT`, `NO_VALIDATORS`, `NO_QUORUM`, `UNKNOWN_OUTCOME`.
   *
   * @example
   * await temperature.set(temperature.value + 0.1, { weight: 0.5 });
   */
  set(value: T, options?: SetOptions): Promise<VariableWrite<T>>;
  /**
   * How well this node did with the value it contributed: 0 (worst) to 1 (best). Without a contribution of its own the present value becomes it.
   * Throws `INVALID_ARGUMENT` (also of a strong variable, whose one value is not weighed), `DEFINITION_CONFLICT`, `STOPPED`.
   */
  report(performance: number): void;
  /** Takes this node's contribution back. */
  withdraw(): void;
  /** Begins with the next change, in order; a reader too slow for the buffer (1,000) misses the oldest. Ends with `signal`, the loop, or the mesh. */
  watch(options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<VariableChange<T>>;
  /** The last `count` changes seen here, oldest first. Default: all that are kept. */
  history(count?: number): readonly VariableChange<T>[];
  /** Contributions that count, ordered by node id. */
  contributions(): readonly Contribution<T>[];
  explain(): VariableExplanation<T>;
  /**
   * Fixes one value for all through the validators, by compare-and-set on the version agreed on before; contributions made before count no more, those made after do again.
   * Resolves when all affected agents have acknowledged it, or with the list of those that have not when the time is up.
   * Throws `CONFLICT`, `OUT_OF_RANGE`, `INVALID_ARGUMENT`, `NO_VALIDATORS`, `NO_QUORUM`, `UNKNOWN_OUTCOME`, `DEFINITION_CONFLICT`, `STOPPED`.
   */
  coordinate(options: CoordinateOptions<T>): Promise<VariableWrite<T>>;
  /** Takes this node's contribution and definition back; the handle shows its last value from then on. */
  [Symbol.dispose](): void;
}

/** How a variable is on this node; part of `mesh.status()`. */
export interface VariableStatus {
  readonly name: string;
  readonly kind: Variable<unknown>['kind'];
  readonly scope: VariableScope;
  readonly sync: 'eventual' | 'strong';
  readonly rule: string;
  readonly definedVersion: number;
  readonly value: Value;
  readonly version: number;
  readonly contributions: number;
  readonly ignored: number;
  /** Spread of the contributions that count, milliseconds between the oldest and the newest. */
  readonly skewMs: number;
  readonly conflict: string | undefined;
  /** Affected agents known here, and notices not yet acknowledged. */
  readonly affected: number;
  readonly untold: number;
}

/** A variable as live nodes announce it, whether or not this node has it. Those of scope `'node'` are not announced. */
export interface AnnouncedVariable {
  readonly name: string;
  readonly kind: Variable<unknown>['kind'];
  readonly scope: VariableScope;
  /** Of another zone, and none of this node's business: which. Undefined for what concerns this node. */
  readonly zone: string | undefined;
  readonly sync: 'eventual' | 'strong';
  readonly rule: string;
  /** The version that most live nodes have. */
  readonly definedVersion: number;
  /** The plain part of the definition: `min`, `max`, `unit`, `choices`, `affects` … */
  readonly terms: { readonly [field: string]: Value };
  /** Live nodes that define it alike, ordered. */
  readonly definedBy: readonly NodeId[];
  /** Whether this node has it: defined by its program, or adopted. */
  readonly here: 'defined' | 'adopted' | undefined;
  /** Other versions that live nodes have, newest first; at most 16. */
  readonly otherVersions: readonly number[];
  /** Nodes that define it differently at this version, and so count nowhere; at most 16. */
  readonly conflicts: readonly {
    readonly node: NodeId;
    readonly difference: readonly { readonly field: string; readonly stands: string; readonly differs: string }[];
  }[];
  /** Somebody says that a value was agreed on (`coordinate`). */
  readonly isAgreed: boolean;
  /** Why it can neither be observed nor adopted here; undefined when it can. */
  readonly obstacle: string | undefined;
}

/** A variable that is only looked at: this node writes nothing about it, and tells no agents. */
export type ObservedVariable<T = Value> = Pick<
  Variable<T>,
  'name' | 'kind' | 'value' | 'version' | 'agreed' | 'conflict' | 'watch' | 'contributions' | 'explain'
> &
  Disposable;

/**
 * Defining the same name again in one process, alike, gives the same variable.
 * All throw `INVALID_ARGUMENT` (each wrong field named), `DEFINITION_CONFLICT` when another live node has defined the name differently at that version (`data.difference`),
 * `LIMIT_EXCEEDED` over 1,000 variables.
 */
export interface Variables {
  /**
   * @example
   * const temperature = mesh.variables.float('temperature', { min: 0, max: 2, default: 0.7, affects: { capabilities: 'llm' } });
   */
  float(name: string, options: NumberOptions): Variable<number>;
  integer(name: string, options: NumberOptions): Variable<number>;
  boolean(name: string, options?: Partial<VariableOptions<boolean>>): Variable<boolean>;
  /** The type of the values is that of `choices`. */
  choice<const T extends string>(name: string, options: ChoiceOptions<T>): Variable<T>;
  composite<S extends StandardSchemaV1>(
    name: string,
    options: CompositeOptions<S>,
  ): Variable<StandardSchemaV1.InferOutput<S>>;
  /** A variable of this process by name. */
  get(name: string): Variable<Value> | undefined;
  /** All variables of this process. */
  status(): readonly VariableStatus[];
  /** All variables that live nodes announce, ordered by name: for operators and dashboards. Looks at every definition, so not for hot paths. */
  announced(): readonly AnnouncedVariable[];
  /**
   * Shows a variable that other nodes have defined, and this one need not have. Ends (`watch` does, the value stays) when this node defines it itself.
   * Throws `NOT_FOUND`; `INVALID_ARGUMENT` when part of the definition is code: a composite's schema, a rule of the application.
   *
   * @example
   * using temperature = mesh.variables.observe('temperature');
   * console.log(temperature.value, temperature.explain().summary);
   */
  observe(name: string): ObservedVariable;
  /**
   * The variable of this process, or else defines it here as others announce it; numbers out of range are refused then. Throws as `observe` does, and as defining does.
   */
  adopt(name: string): Variable<Value>;
}
