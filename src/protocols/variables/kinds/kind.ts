/** What values a variable can have: how this node's are taken, and which of others' are allowed. */
import type { Value } from '../../../value.ts';
import type { Variable } from '../variables.ts';

export type Checked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

/** Plain facts of a definition: sent to other nodes, and compared. */
export type Facts = { readonly [field: string]: Value };

/** Field of the options → what is wrong with it. */
export type Problems = Record<string, string>;

/**
 * Invariants: what `accept` returns passes `check` on every node with the same facts, and comes out of it unchanged;
 * neither depends on anything but the facts and the value (and, of a composite, on its schema and constraints).
 */
export interface Kind<T> {
  readonly name: Variable<T>['kind'];
  readonly facts: Facts;
  /** What this node sets, as it is taken: clamped, say. Throws `INVALID_ARGUMENT` or `OUT_OF_RANGE`. */
  accept(value: unknown): T;
  /** What another says, or a rule of the application gives. Never throws. */
  check(value: unknown): Checked<T>;
  /** The allowed value nearest to what a built-in rule gave for allowed ones: a mean may lie between the steps. */
  fit(value: T): T;
  /** Equal for equal values only, as the key of a count. */
  keyOf(value: T): string | number | boolean;
}
