/**
 * Numbers between two bounds, on a grid or not.
 *
 * Intuition: a number is on the grid when taking it there once more changes nothing. Taking it there is one expression, the same on every
 * node, so what one node takes the others find allowed, bit for bit.
 *
 * Invariant: `snap(snap(x)) === snap(x)`, in spite of rounding: a step is no finer than 2^-45 of the largest bound, so a grid point that
 * was rounded to 15 digits is still nearest to itself.
 */
import { QuorateError } from '../../../errors.ts';
import type { NumberOptions } from '../variables.ts';
import type { Checked, Facts, Kind, Problems } from './kind.ts';

const finestStep = 2 ** -45;
/** Off the grid by less than this share of a step is rounding, not another value. */
const tolerance = 1e-9;

export class NumberKind implements Kind<number> {
  readonly name: 'float' | 'integer';
  readonly facts: Facts;
  readonly #variable: string;
  readonly #min: number;
  readonly #max: number;
  /** Undefined: any number between the bounds. */
  readonly #step: number | undefined;
  /** Number of the last point of the grid. */
  readonly #lastPoint: number;
  readonly #isWhole: boolean;
  readonly #outOfRange: 'clamp' | 'reject' | 'wrap';

  /** The options must be without problems (`numberProblems`). */
  constructor(variable: string, name: 'float' | 'integer', options: NumberOptions) {
    const { min, max, unit } = options;
    const step = options.step ?? (name === 'integer' ? 1 : undefined);
    this.name = name;
    this.facts = { min, max, ...(step === undefined ? {} : { step }), ...(unit === undefined ? {} : { unit }) };
    this.#variable = variable;
    this.#min = min;
    this.#max = max;
    this.#step = step;
    this.#isWhole = Number.isInteger(min) && (step === undefined || Number.isInteger(step));
    this.#lastPoint = step === undefined ? 0 : Math.floor((max - min) / step + tolerance);
    this.#outOfRange = options.outOfRange ?? 'clamp';
  }

  accept(value: unknown): number {
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw new QuorateError(
        'INVALID_ARGUMENT',
        `Variable "${this.#variable}" was given ${describe(value)}; give a finite number.`,
        { fields: { value: 'must be a finite number' } },
      );
    }
    const turned = this.#outOfRange === 'wrap' ? this.#wrapped(value) : value;
    const taken = this.#snap(turned);
    if (this.#outOfRange === 'reject' && !this.#isNear(value, taken)) throw this.#refused(value);
    return taken;
  }

  check(value: unknown): Checked<number> {
    if (typeof value !== 'number') return { ok: false, reason: 'no number' };
    if (!(value >= this.#min && value <= this.#max)) return { ok: false, reason: 'out of range' };
    // Also refuses a negative zero, which `snap` never gives.
    if (!Object.is(this.#snap(value), value)) return { ok: false, reason: 'off the grid of `step`' };
    return { ok: true, value };
  }

  fit(value: number): number {
    return this.#snap(value);
  }

  keyOf(value: number): number {
    return value;
  }

  /** The nearest allowed number. */
  #snap(value: number): number {
    const min = this.#min;
    // Adding zero makes a negative zero positive, so that equal numbers are equal bytes.
    const inside = Math.min(this.#max, Math.max(min, value)) + 0;
    const step = this.#step;
    if (step === undefined) return inside;
    const raw = min + Math.min(this.#lastPoint, Math.round((inside - min) / step)) * step;
    // 15 digits: 0.7 rather than 0.7000000000000001.
    return Math.min(this.#max, Math.max(min, this.#isWhole ? raw : Number(raw.toPrecision(15)))) + 0;
  }

  #wrapped(value: number): number {
    const [min, max] = [this.#min, this.#max];
    if (value >= min && value <= max) return value;
    // Of an angle both ends are the same direction; of an hour the last is followed by the first.
    const turn = this.name === 'integer' ? (this.#lastPoint + 1) * (this.#step as number) : max - min;
    const past = (value - min) % turn;
    return min + (past < 0 ? past + turn : past);
  }

  #isNear(value: number, taken: number): boolean {
    return Math.abs(value - taken) <= tolerance * (this.#step ?? 0);
  }

  #refused(value: number): QuorateError {
    const { min, max, step } = this.facts;
    const grid = step === undefined ? '' : ` in steps of ${String(step)}`;
    return new QuorateError(
      'OUT_OF_RANGE',
      `Variable "${this.#variable}" does not allow ${value}: it goes from ${String(min)} to ${String(max)}${grid}; set such a value, or define it with outOfRange: 'clamp'.`,
      { variable: this.#variable, value, min, max, step },
    );
  }
}

/** Notes what is wrong with the bounds and the step. */
export function numberProblems(name: 'float' | 'integer', options: NumberOptions, problems: Problems): void {
  const { min, max, step, unit, outOfRange } = options;
  const fits = name === 'integer' ? Number.isSafeInteger : Number.isFinite;
  const word = name === 'integer' ? 'a safe whole number' : 'a finite number';
  if (!fits(min)) problems['min'] = `must be ${word}`;
  if (!fits(max)) problems['max'] = `must be ${word}`;
  else if (fits(min) && !(min < max)) problems['max'] = 'must be greater than `min`';
  else if (fits(min) && !Number.isFinite(max - min)) problems['max'] = 'is too far from `min`';
  if (step !== undefined) {
    const largest = Math.max(Math.abs(min), Math.abs(max));
    if (!fits(step) || !(step > 0)) problems['step'] = `must be ${word} above 0`;
    else if (step > max - min) problems['step'] = 'must not exceed `max` less `min`';
    else if (step < largest * finestStep) problems['step'] = 'is too fine for numbers of this size';
  } else if (name === 'integer' && Math.max(Math.abs(min), Math.abs(max)) > 2 ** 45) {
    problems['max'] = 'must be within 2^45 of zero';
  }
  if (unit !== undefined && !(typeof unit === 'string' && unit.length <= 32)) {
    problems['unit'] = 'must be a text of at most 32 characters';
  }
  if (outOfRange !== undefined && !['clamp', 'reject', 'wrap'].includes(outOfRange)) {
    problems['outOfRange'] = "must be 'clamp', 'reject' or 'wrap'";
  }
}

function describe(value: unknown): string {
  if (typeof value === 'number' || value === null || value === undefined) return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
