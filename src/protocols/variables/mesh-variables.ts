/** The variables of one node, over shared entries: in one process as in a cluster. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Clock } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import type { HybridClock } from '../../hlc.ts';
import type { Value } from '../../value.ts';
import type { SharedEntries } from '../sharing/shared-entries.ts';
import { Adoption } from './adoption.ts';
import type { Audiences } from './affected/audiences.ts';
import type { Agreements } from './agreed/agreements.ts';
import { Announcements } from './announced.ts';
import {
  type CommonOptions,
  commonProblems,
  completeDefinition,
  definitionConflict,
  refuseProblems,
} from './definition.ts';
import { BooleanKind } from './kinds/boolean.ts';
import { ChoiceKind, choiceProblems } from './kinds/choice.ts';
import { CompositeKind, compositeProblems } from './kinds/composite.ts';
import type { Kind, Problems } from './kinds/kind.ts';
import { NumberKind, numberProblems } from './kinds/number.ts';
import { noAudiences, ReadOnlyEntries } from './observing.ts';
import { SharedVariable } from './shared-variable.ts';
import type {
  AnnouncedVariable,
  ChoiceOptions,
  CompositeOptions,
  NumberOptions,
  ObservedVariable,
  Variable,
  VariableOptions,
  VariableStatus,
  Variables,
} from './variables.ts';

export interface MeshVariablesOptions {
  /** The store `variables`. */
  readonly entries: SharedEntries;
  readonly hlc: HybridClock;
  readonly clock: Clock;
  readonly zone: string;
  /** Undefined: `affects` is refused. */
  readonly audience: Audiences | undefined;
  /** Undefined: `sync: 'strong'` and `coordinate` are refused. */
  readonly agreements: Agreements | undefined;
  /** For what nobody waits for: logs. */
  readonly onError: (error: unknown, where: string) => void;
  /** Another node's earlier definition of a variable of this process differs. */
  readonly onConflict?: ((name: string, error: QuorateError) => void) | undefined;
}

/** Guess: a fleet tunes tens. Each costs an entry or two per node. */
const maxVariables = 1_000;

/** How one kind is checked and made. */
interface Making<T> {
  readonly kind: Kind<T>['name'];
  readonly options: CommonOptions<T>;
  readonly fallback: unknown;
  readonly problems: (problems: Problems) => void;
  /** Called without problems only. */
  readonly make: () => Kind<T>;
}

export class MeshVariables implements Variables {
  readonly #options: MeshVariablesOptions;
  readonly #variables = new Map<string, SharedVariable<unknown>>();
  readonly #adoption: Adoption;
  readonly #unwatch: () => void;
  #hasStopped = false;
  /** Variables that are only looked at, over entries that they cannot write. */
  #observed: MeshVariables | undefined;

  constructor(options: MeshVariablesOptions) {
    this.#options = options;
    this.#adoption = new Adoption({
      announcements: new Announcements(options),
      own: this,
      observed: () => {
        const entries = new ReadOnlyEntries(options.entries);
        this.#observed = new MeshVariables({ ...options, entries, audience: noAudiences, onConflict: () => undefined });
        return this.#observed;
      },
    });
    this.#unwatch = options.entries.onNodes(() => {
      for (const variable of this.#variables.values()) variable.onNodes();
    });
  }

  float(name: string, options: NumberOptions): Variable<number> {
    return this.#number(name, 'float', options);
  }

  integer(name: string, options: NumberOptions): Variable<number> {
    return this.#number(name, 'integer', options);
  }

  boolean(name: string, options: Partial<VariableOptions<boolean>> = {}): Variable<boolean> {
    return this.#define(name, {
      kind: 'boolean',
      options,
      fallback: options?.default ?? false,
      problems: () => undefined,
      make: () => new BooleanKind(name),
    });
  }

  choice<const T extends string>(name: string, options: ChoiceOptions<T>): Variable<T> {
    return this.#define<T>(name, {
      kind: 'choice',
      options,
      fallback: options?.default,
      problems: (problems) => choiceProblems(options, problems),
      make: () => new ChoiceKind(name, options),
    });
  }

  composite<S extends StandardSchemaV1>(
    name: string,
    options: CompositeOptions<S>,
  ): Variable<StandardSchemaV1.InferOutput<S>> {
    return this.#define<StandardSchemaV1.InferOutput<S>>(name, {
      kind: 'composite',
      options,
      fallback: options?.default,
      problems: (problems) => compositeProblems(options, problems),
      make: () => new CompositeKind(name, options),
    });
  }

  get(name: string): Variable<Value> | undefined {
    // What has been accepted can travel, whatever its kind.
    return this.#variables.get(name) as Variable<Value> | undefined;
  }

  status(): readonly VariableStatus[] {
    return [...this.#variables.values()].map((variable) => variable.status());
  }

  announced(): readonly AnnouncedVariable[] {
    return this.#adoption.announced();
  }

  observe(name: string): ObservedVariable {
    this.#refuseStopped(name);
    return this.#adoption.observe(name);
  }

  adopt(name: string): Variable<Value> {
    this.#refuseStopped(name);
    return this.#adoption.adopt(name);
  }

  /** Ends all watches and timers. Idempotent. What this node has contributed goes with its feed; the handles show their last values. */
  stop(): void {
    if (this.#hasStopped) return;
    this.#hasStopped = true;
    this.#unwatch();
    this.#observed?.stop();
    for (const variable of this.#variables.values()) variable.stop();
  }

  #number(name: string, kind: 'float' | 'integer', options: NumberOptions): Variable<number> {
    return this.#define(name, {
      kind,
      options,
      fallback: options?.default,
      problems: (problems) => numberProblems(kind, options, problems),
      make: () => new NumberKind(name, kind, options),
    });
  }

  #define<T>(name: string, { kind, options, fallback, problems: note, make }: Making<T>): Variable<T> {
    this.#refuseStopped(name);
    const problems: Problems = {};
    if (typeof options !== 'object' || options === null) problems['options'] = 'must be an object';
    refuseProblems(name, problems);
    commonProblems(name, kind, options, problems);
    note(problems);
    refuseProblems(name, problems);
    const { onError } = this.#options;
    const definition = completeDefinition(name, make(), options, fallback, (error) => {
      onError(error, `rule of variable "${name}"`);
    });
    this.#adoption.onDefined(name);
    const former = this.#variables.get(name);
    if (former !== undefined) {
      const { version, facts, digest } = former.definition;
      if (version === definition.version && digest === definition.digest) return former as unknown as Variable<T>;
      throw definitionConflict(definition, undefined, { version, facts });
    }
    if (this.#variables.size >= maxVariables) {
      throw new QuorateError(
        'LIMIT_EXCEEDED',
        `Variable "${name}" cannot be defined: this process has ${maxVariables} already. Put values that belong together into one composite.`,
        { limit: maxVariables },
      );
    }
    const variable = new SharedVariable<T>(definition, {
      ...this.#options,
      onConflict: this.#options.onConflict ?? ((_name, error) => onError(error, `variable "${name}"`)),
      onDispose: (disposed) => void this.#variables.delete(disposed),
    });
    this.#variables.set(name, variable as unknown as SharedVariable<unknown>);
    return variable;
  }

  #refuseStopped(name: string): void {
    if (!this.#hasStopped) return;
    throw new QuorateError('STOPPED', `Variable "${name}" cannot be had: the mesh has stopped.`, { variable: name });
  }
}
