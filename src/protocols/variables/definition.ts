/**
 * What a node says a variable is. The part that must be alike everywhere is plain data, sent to others and compared by its digest; code (a
 * schema, a rule of the application, `migrate`) stays here and is represented by its name.
 *
 * Of definitions that differ at the same version the one that most nodes have stands; of several that as many have, the earliest, by hybrid logical time and then by node id: every node that
 * has heard of the same picks the same. A member can back-date what it says, and so take a name from one other node, though not from two that agree; or be there first.
 */
import { createHash } from 'node:crypto';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { encodeValue } from '../../codec.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import type { Facts, Kind, Problems } from './kinds/kind.ts';
import type { Rule } from './rules/rule.ts';
import { type RuleChoice, ruleProblems, selectRule } from './rules/select.ts';
import type {
  AffectedAgents,
  ChoiceOptions,
  CompositeOptions,
  NumberOptions,
  VariableOptions,
  VariableScope,
} from './variables.ts';

/** A key has 512 bytes at most; there is room for a prefix. */
const maxNameBytes = 256;
const maxDescriptionLength = 1_000;
/** Told of two definitions: the first few tell what is wrong. */
const maxDifferences = 20;
const maxTextLength = 200;
const maxHistory = 10_000;
const defaultHistory = 100;

const optionsOfAll: readonly (keyof VariableOptions<unknown>)[] = [
  'default',
  'scope',
  'affects',
  'sync',
  'resolve',
  'maxWeight',
  'description',
  'version',
  'migrate',
  'historySize',
];
const optionsOfNumbers: readonly (keyof NumberOptions)[] = ['min', 'max', 'step', 'unit', 'outOfRange'];
const optionsOfChoices: readonly (keyof ChoiceOptions<string>)[] = ['choices', 'threshold', 'cooldownMs'];
const optionsOfComposites: readonly (keyof CompositeOptions<StandardSchemaV1>)[] = ['schema', 'constraints'];
const optionsOf: { readonly [name in Kind<unknown>['name']]: readonly string[] } = {
  float: optionsOfNumbers,
  integer: optionsOfNumbers,
  boolean: [],
  choice: optionsOfChoices,
  composite: optionsOfComposites,
};

export interface Definition<T> {
  readonly name: string;
  readonly kind: Kind<T>;
  readonly rule: Rule<T>;
  readonly default: T;
  readonly scope: VariableScope;
  readonly sync: 'eventual' | 'strong';
  readonly maxWeight: number;
  readonly version: number;
  readonly migrate: ((value: Value, fromVersion: number) => T | undefined) | undefined;
  readonly affects: AffectedAgents | undefined;
  readonly historySize: number;
  /** What other nodes compare, and its digest. */
  readonly facts: Facts;
  readonly digest: string;
}

/** Where two definitions differ, for people. */
export interface Difference {
  readonly field: string;
  readonly here: string;
  readonly there: string;
}

/** Options of any kind, as far as all have them. */
export type CommonOptions<T> = Partial<Omit<VariableOptions<T>, 'resolve'>> & {
  readonly resolve?: RuleChoice<T>;
};

/** Notes what is wrong with the name and with what all kinds have in common, but for the default. */
export function commonProblems<T>(
  name: unknown,
  kind: Kind<unknown>['name'],
  options: CommonOptions<T>,
  problems: Problems,
): void {
  const isName = typeof name === 'string' && name.length > 0 && name.isWellFormed();
  if (!isName || Buffer.byteLength(name) > maxNameBytes)
    problems['name'] = `must be a text of 1 to ${maxNameBytes} bytes`;
  const { scope = 'cluster', sync = 'eventual', maxWeight = 1, version = 1 } = options;
  const { migrate, historySize = defaultHistory, description, affects = [] } = options;
  if (typeof affects !== 'object' || affects === null) problems['affects'] = 'must be a list of agents, or criteria';
  if (!['node', 'zone', 'cluster'].includes(scope)) problems['scope'] = "must be 'node', 'zone' or 'cluster'";
  if (!['eventual', 'strong'].includes(sync)) problems['sync'] = "must be 'eventual' or 'strong'";
  else if (sync === 'strong' && scope !== 'cluster') problems['sync'] = "'strong' needs scope: 'cluster'";
  if (!(Number.isFinite(maxWeight) && maxWeight > 0 && maxWeight <= 1e9)) {
    problems['maxWeight'] = 'must be a number above 0, at most 1e9';
  }
  if (!(Number.isSafeInteger(version) && version >= 1)) problems['version'] = 'must be a whole number from 1';
  if (migrate !== undefined && typeof migrate !== 'function') problems['migrate'] = 'must be a function';
  if (!(Number.isSafeInteger(historySize) && historySize >= 0 && historySize <= maxHistory)) {
    problems['historySize'] = `must be a whole number from 0 to ${maxHistory}`;
  }
  if (description !== undefined && !(typeof description === 'string' && description.length <= maxDescriptionLength)) {
    problems['description'] = `must be a text of at most ${maxDescriptionLength} characters`;
  }
  ruleProblems(kind, options.resolve, problems);
  // A misspelt option would be one that silently does nothing.
  for (const field of Object.keys(options)) {
    const isKnown = optionsOf[kind].includes(field) || (optionsOfAll as readonly string[]).includes(field);
    if (!isKnown) problems[field] = `is no option of a ${kind} variable`;
  }
}

/** Throws `INVALID_ARGUMENT` unless there are none. */
export function refuseProblems(name: unknown, problems: Problems): void {
  const wrong = Object.entries(problems);
  if (wrong.length === 0) return;
  const text = wrong.map(([field, why]) => `${field} ${why}`).join('; ');
  throw new QuorateError('INVALID_ARGUMENT', `Variable "${String(name)}" cannot be defined: ${text}.`, {
    fields: problems,
  });
}

/** The options must be without problems, but for the default, which is checked here. `onFault` hears of a rule of the application that fails. */
export function completeDefinition<T>(
  name: string,
  kind: Kind<T>,
  options: CommonOptions<T>,
  given: unknown,
  onFault: (error: unknown) => void,
): Definition<T> {
  const fallback = acceptDefault(name, kind, given);
  const rule = selectRule(kind, fallback, options.resolve, onFault);
  const { scope = 'cluster', sync = 'eventual', maxWeight = 1, version = 1 } = options;
  const { migrate, affects, historySize = defaultHistory } = options;
  const facts: Facts = {
    kind: kind.name,
    scope,
    sync,
    rule: rule.name,
    maxWeight,
    default: fallback as Value,
    ...(affects === undefined ? {} : { affects: affectsFacts(affects) }),
    ...kind.facts,
  };
  const digest = digestOf(facts);
  return {
    name,
    kind,
    rule,
    default: fallback,
    scope,
    sync,
    maxWeight,
    version,
    migrate,
    affects,
    historySize,
    facts,
    digest,
  };
}

/** 96 bits: nobody gains by finding two definitions that share it but themselves. */
export function digestOf(facts: Facts): string {
  return createHash('sha256').update(encodeValue(facts)).digest('base64url').slice(0, 16);
}

/** Fields that differ, with both sides as text; a field that is missing shows as `undefined`. `there` may have thousands, so no more are looked at than are shown. */
export function differences(here: Facts, there: Facts): readonly Difference[] {
  const found: Difference[] = [];
  const additional = Object.keys(there).filter((field) => !Object.hasOwn(here, field));
  for (const field of [...Object.keys(here).sort(), ...additional]) {
    if (found.length === maxDifferences) break;
    if (Buffer.compare(encodeValue(here[field]), encodeValue(there[field])) === 0) continue;
    found.push({ field: shortened(field), here: textOf(here[field]), there: textOf(there[field]) });
  }
  return found.sort((a, b) => (a.field < b.field ? -1 : 1));
}

/** `there` is what stands, defined by `node`. */
export function definitionConflict(
  { name, version, facts }: Pick<Definition<unknown>, 'name' | 'version' | 'facts'>,
  node: NodeId | undefined,
  there: { readonly version: number; readonly facts: Facts },
): QuorateError {
  const difference = [
    ...(there.version === version ? [] : [{ field: 'version', here: String(version), there: String(there.version) }]),
    ...differences(facts, there.facts),
  ];
  const text = difference.map((one) => `${one.field} is ${one.here} here and ${one.there} there`).join('; ');
  const who = node === undefined ? 'in this process' : `by node ${node}`;
  return new QuorateError(
    'DEFINITION_CONFLICT',
    `Variable "${name}" was defined differently before, ${who}: ${text}. Define it alike, or raise \`version\`.`,
    { variable: name, version, node, difference },
  );
}

function acceptDefault<T>(name: string, kind: Kind<T>, given: unknown): T {
  const checked = kind.name === 'composite' ? undefined : kind.check(given);
  if (checked?.ok === true) return checked.value;
  if (checked !== undefined) refuseProblems(name, { default: `must be an allowed value, and is ${checked.reason}` });
  try {
    return kind.accept(given);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError(
      'INVALID_ARGUMENT',
      `Variable "${name}" cannot be defined: its default is not allowed. ${why}`,
      { fields: { default: why } },
      { cause },
    );
  }
}

/** Ids in an order of their own: a list that names the same agents is the same. */
function affectsFacts(affects: AffectedAgents): Value {
  const isDetailed = !Array.isArray(affects) && 'agents' in affects;
  const agents = isDetailed ? (affects as { readonly agents: unknown }).agents : affects;
  const method = isDetailed ? (affects as { readonly method?: string }).method : undefined;
  const areIds = Array.isArray(agents) && agents.every((agent) => typeof agent === 'string');
  return {
    agents: (areIds ? [...new Set(agents)].sort() : agents) as Value,
    ...(method === undefined ? {} : { method }),
  };
}

function textOf(value: Value): string {
  if (value === undefined) return 'undefined';
  try {
    const text = JSON.stringify(value) ?? String(value);
    return shortened(text);
  } catch {
    // A bigint or a cycle of no interest: the digest says that it differs.
    return '(a structured value)';
  }
}

function shortened(text: string): string {
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength)}…`;
}
