/** The variables of one node, over shared entries: in one process as in a cluster. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Clock } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import type { HybridClock } from '../../hlc.ts';
import type { Value } from '../../value.ts';
import type { SharedEntries } from '../sharing/shared-entries.ts';
import type { Audiences } from './affected/audiences.ts';
import type { Agreements } from './agreed/agreements.ts';
import type {
  ChoiceOptions,
  CompositeOptions,
  NumberOptions,
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

export class MeshVariables implements Variables {
  readonly #options: MeshVariablesOptions;

  constructor(options: MeshVariablesOptions) {
    this.#options = options;
  }

  float(name: string, _options: NumberOptions): Variable<number> {
    throw this.#refused(name);
  }

  integer(name: string, _options: NumberOptions): Variable<number> {
    throw this.#refused(name);
  }

  boolean(name: string, _options: Partial<VariableOptions<boolean>> = {}): Variable<boolean> {
    throw this.#refused(name);
  }

  choice<const T extends string>(name: string, _options: ChoiceOptions<T>): Variable<T> {
    throw this.#refused(name);
  }

  composite<S extends StandardSchemaV1>(
    name: string,
    _options: CompositeOptions<S>,
  ): Variable<StandardSchemaV1.InferOutput<S>> {
    throw this.#refused(name);
  }

  get(_name: string): Variable<Value> | undefined {
    return undefined;
  }

  status(): readonly VariableStatus[] {
    return [];
  }

  /** Ends all watches and timers. Idempotent. What this node contributed is gone with its feed. */
  stop(): void {}

  #refused(name: string): QuorateError {
    return new QuorateError('STOPPED', `Variable "${name}" cannot be defined in ${this.#options.zone} yet.`, { name });
  }
}
