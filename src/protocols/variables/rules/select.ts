/** The rule that a definition asks for, with its result brought among the allowed values. */
import { encodeValue } from '../../../codec.ts';
import type { Value } from '../../../value.ts';
import type { Kind, Problems } from '../kinds/kind.ts';
import type { BuiltInRule, CustomRule } from '../variables.ts';
import { lastWriter, latest, majority } from './choices.ts';
import { byFields, type NumberRule, numberRules } from './fields.ts';
import type { Rule } from './rule.ts';

type FieldRules = { readonly fields: { readonly [field: string]: BuiltInRule } };
/** `resolve` of any options. */
export type RuleChoice<T> = BuiltInRule | CustomRule<T> | FieldRules | undefined;

const maxRuleNameLength = 128;
const maxFields = 100;

/** The choice must be without problems (`ruleProblems`). `onFault` hears of each failure of a rule of the application. */
export function selectRule<T>(
  kind: Kind<T>,
  fallback: T,
  choice: RuleChoice<T>,
  onFault: (error: unknown) => void,
): Rule<T> {
  const chosen = choice ?? defaultRule(kind.name);
  if (typeof chosen === 'object') {
    if ('fields' in chosen) {
      const keyOf = (value: Value): string => Buffer.from(encodeValue(value)).toString('base64');
      return byFields({ fields: chosen.fields, check: (value) => kind.check(value), keyOf });
    }
    return guarded(kind, chosen, onFault);
  }
  if (chosen === 'lastWriter') return lastWriter();
  if (chosen === 'majority') return majority((value) => kind.keyOf(value), fallback);
  // Only numbers get here: `ruleProblems` has refused the others.
  return fitted(kind, numberRules[chosen] as unknown as Rule<T>);
}

/** Notes when the choice is none that this kind can have. */
export function ruleProblems(kind: Kind<unknown>['name'], choice: unknown, problems: Problems): void {
  if (choice === undefined) return;
  const builtIn = builtInRules(kind);
  if (typeof choice === 'string') {
    if (!builtIn.includes(choice)) problems['resolve'] = `must be ${builtIn.join(', ')}, or a rule of your own`;
    return;
  }
  const { name, resolve, fields } = (typeof choice === 'object' && choice !== null ? choice : {}) as Record<
    string,
    unknown
  >;
  if (kind === 'composite' && typeof fields === 'object' && fields !== null) {
    const all = [...Object.keys(numberRules), 'lastWriter', 'majority'];
    const entries = Object.entries(fields);
    if (entries.length > maxFields || entries.some(([, rule]) => !all.includes(rule as string))) {
      problems['resolve.fields'] = `must give each of at most ${maxFields} fields one of ${all.join(', ')}`;
    }
    return;
  }
  const isNamed = typeof name === 'string' && name.length > 0 && name.length <= maxRuleNameLength;
  if (!isNamed || typeof resolve !== 'function') {
    problems['resolve'] =
      `must be a built-in rule, or have a name (1 to ${maxRuleNameLength} characters) and a function \`resolve\``;
  }
}

function builtInRules(kind: Kind<unknown>['name']): readonly string[] {
  const ofNumbers = kind === 'float' || kind === 'integer';
  return ofNumbers ? [...Object.keys(numberRules), 'lastWriter', 'majority'] : ['lastWriter', 'majority'];
}

function defaultRule(kind: Kind<unknown>['name']): BuiltInRule {
  if (kind === 'composite') return 'lastWriter';
  return kind === 'boolean' || kind === 'choice' ? 'majority' : ('weightedAverageByPerformance' satisfies NumberRule);
}

function fitted<T>(kind: Kind<T>, rule: Rule<T>): Rule<T> {
  return {
    name: rule.name,
    resolve(contributions) {
      const { value, shares } = rule.resolve(contributions);
      return { value: kind.fit(value), shares };
    },
  };
}

/** What a rule of the application throws or gives out of range is replaced by the latest contribution, which is the same on every node. */
function guarded<T>(kind: Kind<T>, rule: CustomRule<T>, onFault: (error: unknown) => void): Rule<T> {
  return {
    name: `custom(${rule.name})`,
    resolve(contributions) {
      const last = latest(contributions);
      const shares = (): number[] => contributions.map(() => 1 / contributions.length);
      try {
        const checked = kind.check(kind.fit(rule.resolve([...contributions])));
        if (checked.ok) return { value: checked.value, shares };
        onFault(new Error(`Rule "${rule.name}" gave a value that is not allowed: ${checked.reason}.`));
      } catch (error) {
        onFault(error);
      }
      return { value: last.value, shares: () => contributions.map((one) => Number(one === last)) };
    },
  };
}
