/** One of a list of texts. */
import { QuorateError } from '../../../errors.ts';
import type { ChoiceOptions } from '../variables.ts';
import type { Checked, Facts, Kind, Problems } from './kind.ts';

/** Guess: models, strategies and regions are tens. */
const maxChoices = 1_000;
const maxChoiceLength = 256;

export class ChoiceKind<T extends string> implements Kind<T> {
  readonly name = 'choice';
  readonly facts: Facts;
  readonly #variable: string;
  readonly #choices: ReadonlySet<unknown>;

  /** The options must be without problems (`choiceProblems`). */
  constructor(variable: string, { choices, threshold = 0, cooldownMs = 0 }: ChoiceOptions<T>) {
    this.#variable = variable;
    this.#choices = new Set(choices);
    this.facts = { choices: [...choices], threshold, cooldownMs };
  }

  accept(value: unknown): T {
    if (this.#choices.has(value)) return value as T;
    throw new QuorateError(
      'OUT_OF_RANGE',
      `Variable "${this.#variable}" does not allow ${typeof value === 'string' ? `"${value.slice(0, 100)}"` : `a ${typeof value}`}; set one of its choices: ${[...this.#choices].slice(0, 20).join(', ')}.`,
      { variable: this.#variable, value, choices: [...this.#choices] },
    );
  }

  check(value: unknown): Checked<T> {
    return this.#choices.has(value) ? { ok: true, value: value as T } : { ok: false, reason: 'none of the choices' };
  }

  fit(value: T): T {
    return value;
  }

  keyOf(value: T): T {
    return value;
  }
}

/** Notes what is wrong with the choices, the threshold and the cooldown. */
export function choiceProblems<T extends string>(options: ChoiceOptions<T>, problems: Problems): void {
  const { choices, threshold, cooldownMs, resolve = 'majority' } = options;
  const texts: readonly unknown[] = Array.isArray(choices) ? choices : [];
  const areTexts = texts.every(
    (choice) => typeof choice === 'string' && choice.length <= maxChoiceLength && choice.isWellFormed(),
  );
  if (texts.length === 0 || texts.length > maxChoices || !areTexts || new Set(texts).size < texts.length) {
    problems['choices'] =
      `must be a list of 1 to ${maxChoices} different texts of at most ${maxChoiceLength} characters`;
  }
  for (const [field, value] of Object.entries({ threshold, cooldownMs })) {
    if (value === undefined) continue;
    if (!(Number.isFinite(value) && value >= 0)) problems[field] = 'must be a finite number, not negative';
    else if (value > 0 && resolve !== 'majority') problems[field] = "needs resolve: 'majority'";
  }
}
