/**
 * Criteria as people type them: `capabilities=index-text zone=eu-1,eu-2 'capacity.cpu>=0.5'`. Terms are
 * ANDed; a list of values means any of them. Whatever terms cannot say, one JSON argument can.
 */
import { QuorateError } from '../errors.ts';
import type { Criteria, CriteriaObject, Value } from '../index.ts';

const operatorNames = {
  '=': 'eq',
  '!=': 'neq',
  '>': 'gt',
  '>=': 'gte',
  '<': 'lt',
  '<=': 'lte',
  '~': 'contains',
} as const;
const term = /^([\w.$-]+?)(!=|>=|<=|=|>|<|~)(.*)$/s;
/** What people write for the field that the registry calls by another name. */
const aliases: Readonly<Record<string, string>> = { capability: 'capabilities' };

/** Undefined for no terms at all. Throws `INVALID_CRITERIA` for what is no term. */
export function parseTerms(terms: readonly string[]): Criteria | undefined {
  if (terms.length === 0) return undefined;
  if (terms.length === 1 && /^\s*[[{]/.test(terms[0] as string)) return parseJson(terms[0] as string);
  const criteria: Record<string, unknown> = {};
  for (const text of terms) {
    const [, path, symbol, typed] = term.exec(text) ?? [];
    if (path === undefined || symbol === undefined || typed === undefined) {
      throw new QuorateError(
        'INVALID_CRITERIA',
        `'${text}' is no term. Terms look like capabilities=summarise, zone=eu-1,eu-2, capacity.cpu>=0.5 (operators: ${Object.keys(operatorNames).join(' ')}); or give one JSON object.`,
        { term: text },
      );
    }
    const [first, ...rest] = path.split('.') as [string, ...string[]];
    addTerm(criteria, [aliases[first] ?? first, ...rest], operatorNames[symbol as keyof typeof operatorNames], typed);
  }
  return criteria as CriteriaObject;
}

function addTerm(criteria: Record<string, unknown>, path: readonly string[], operator: string, typed: string): void {
  let at = criteria;
  for (const key of path.slice(0, -1)) {
    at[key] ??= {};
    at = at[key] as Record<string, unknown>;
  }
  const key = path[path.length - 1] as string;
  const values = operator === 'eq' ? typed.split(',').map(parseValue) : [parseValue(typed)];
  // A bare value means `eq`, for a list field `contains`; a bare list means any of them.
  const bare = operator === 'eq';
  if (bare && at[key] === undefined) at[key] = values.length === 1 ? values[0] : values;
  else if (bare)
    throw new QuorateError('INVALID_CRITERIA', `${path.join('.')} is asked for twice; join the values with commas.`);
  else at[key] = { ...(at[key] as object | undefined), [operator]: values[0] };
}

function parseValue(typed: string): Value {
  if (/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(typed)) return Number(typed);
  if (typed === 'true' || typed === 'false') return typed === 'true';
  return typed === 'null' ? null : typed;
}

function parseJson(text: string): Criteria {
  try {
    return JSON.parse(text) as Criteria;
  } catch (cause) {
    throw new QuorateError(
      'INVALID_CRITERIA',
      `These criteria begin like JSON but are none: ${cause instanceof Error ? cause.message : cause}.`,
      { text },
      { cause },
    );
  }
}
