/** True or false. */
import { QuorateError } from '../../../errors.ts';
import type { Checked, Facts, Kind } from './kind.ts';

export class BooleanKind implements Kind<boolean> {
  readonly name = 'boolean';
  readonly facts: Facts = {};
  readonly #variable: string;

  constructor(variable: string) {
    this.#variable = variable;
  }

  accept(value: unknown): boolean {
    if (typeof value === 'boolean') return value;
    throw new QuorateError('INVALID_ARGUMENT', `Variable "${this.#variable}" is true or false; set one of them.`, {
      fields: { value: 'must be true or false' },
    });
  }

  check(value: unknown): Checked<boolean> {
    return typeof value === 'boolean' ? { ok: true, value } : { ok: false, reason: 'neither true nor false' };
  }

  fit(value: boolean): boolean {
    return value;
  }

  keyOf(value: boolean): boolean {
    return value;
  }
}
