/**
 * Takes part in variables that other nodes have defined: as an observer, who writes nothing, or as one who defines them alike.
 *
 * What other nodes announce of a variable is all there is to know of it, unless a part of it is code: a schema, a rule of the application. So a variable made from
 * an announcement is like theirs, or is not made at all.
 *
 * An observed variable is an ordinary one over entries that it cannot write: what it shows is what it would show if it were defined here.
 */
import { QuorateError } from '../../errors.ts';
import type { Value } from '../../value.ts';
import type { Announcement, Announcements } from './announced.ts';
import type {
  AnnouncedVariable,
  BuiltInRule,
  ChoiceOptions,
  NumberOptions,
  ObservedVariable,
  Variable,
  VariableOptions,
  Variables,
} from './variables.ts';

const builtInRules: readonly string[] = [
  'weightedAverageByPerformance',
  'lastWriter',
  'max',
  'min',
  'median',
  'trimmedMean',
  'majority',
] satisfies BuiltInRule[];

const commonTerms = ['kind', 'scope', 'sync', 'rule', 'maxWeight', 'default', 'affects'];
const numberTerms = [...commonTerms, 'min', 'max', 'step', 'unit'];
const termsOfKind: { readonly [kind in Exclude<AnnouncedVariable['kind'], 'composite'>]: readonly string[] } = {
  float: numberTerms,
  integer: numberTerms,
  boolean: commonTerms,
  choice: [...commonTerms, 'choices', 'threshold', 'cooldownMs'],
};

/** Where variables are defined: of a node, or of nobody for those that are only observed. */
export type Definable = Pick<Variables, 'float' | 'integer' | 'boolean' | 'choice' | 'get'>;

interface Observation {
  readonly variable: Variable<Value>;
  readonly announcement: Announcement;
  observers: number;
}

export interface AdoptionOptions {
  readonly announcements: Announcements;
  readonly own: Definable;
  /** Over what `observing.ts` has; called when the first variable is observed. */
  readonly observed: () => Definable;
}

export class Adoption {
  readonly #options: AdoptionOptions;
  readonly #adopted = new Set<string>();
  readonly #observations = new Map<string, Observation>();
  #observed: Definable | undefined;

  constructor(options: AdoptionOptions) {
    this.#options = options;
  }

  announced(): AnnouncedVariable[] {
    return this.#options.announcements.list().map((announcement) => {
      const { name, zone } = announcement;
      const isHere = zone === undefined && this.#options.own.get(name) !== undefined;
      const here = isHere ? (this.#adopted.has(name) ? 'adopted' : 'defined') : undefined;
      return { ...announcement, here, obstacle: obstacleTo(announcement) };
    });
  }

  /** What the node has, or what it takes over from others. */
  adopt(name: string): Variable<Value> {
    const { own } = this.#options;
    const former = own.get(name);
    if (former !== undefined) return former;
    const variable = define(own, this.#find(name));
    this.#adopted.add(name);
    return variable;
  }

  observe(name: string): ObservedVariable {
    const own = this.#options.own.get(name);
    if (own !== undefined) return observedOf(own, () => undefined);
    const announcement = this.#find(name);
    const observation = this.#observation(name, announcement);
    observation.observers += 1;
    return observedOf(observation.variable, () => {
      observation.observers -= 1;
      if (observation.observers === 0) this.#endObservation(name, observation);
    });
  }

  /** The node defines the name itself from now on, whether by the program or by adoption. Observers hear no more of it; agreements have one listener each. */
  onDefined(name: string): void {
    this.#adopted.delete(name);
    const observation = this.#observations.get(name);
    if (observation !== undefined) this.#endObservation(name, observation);
  }

  #observation(name: string, announcement: Announcement): Observation {
    const former = this.#observations.get(name);
    if (former !== undefined && former.announcement.definedVersion === announcement.definedVersion) return former;
    if (former !== undefined) this.#endObservation(name, former);
    this.#observed ??= this.#options.observed();
    const observation = { variable: define(this.#observed, announcement), announcement, observers: 0 };
    this.#observations.set(name, observation);
    return observation;
  }

  #endObservation(name: string, observation: Observation): void {
    if (this.#observations.get(name) === observation) this.#observations.delete(name);
    observation.variable[Symbol.dispose]();
  }

  #find(name: string): Announcement {
    const [announcement] = this.#options.announcements.of(name);
    if (announcement !== undefined) {
      const obstacle = obstacleTo(announcement);
      if (obstacle === undefined) return announcement;
      throw new QuorateError('INVALID_ARGUMENT', `Variable "${name}" cannot be had on this node: ${obstacle}.`, {
        variable: name,
        fields: { name: obstacle },
      });
    }
    throw new QuorateError(
      'NOT_FOUND',
      `No live node announces a variable "${name}". Look at the names there are, or define it in a program.`,
      { variable: name },
    );
  }
}

/** Why this node cannot make a variable of it; undefined when it may. */
function obstacleTo({ kind, rule, zone, terms }: Announcement): string | undefined {
  if (zone !== undefined) return `it is one of zone '${zone}'`;
  if (kind === 'composite') return 'the schema of a composite is code, so define it in a program on this node';
  if (!builtInRules.includes(rule)) {
    return `its rule '${rule.slice(0, 100)}' is code of the application, so define it in a program on this node`;
  }
  const unknown = Object.keys(terms).filter((term) => !termsOfKind[kind].includes(term));
  if (unknown.length > 0) {
    return `this version of Quorate does not know what is meant by '${unknown.slice(0, 5).join("', '").slice(0, 200)}'`;
  }
  if (terms['affects'] !== undefined && !isAffects(terms['affects'])) return 'what it affects is malformed';
  return undefined;
}

/** Terms of others, so every option is checked again as if it came from a program. Throws `INVALID_ARGUMENT`, `DEFINITION_CONFLICT`. */
function define(variables: Definable, { name, kind, rule, definedVersion, terms }: Announcement): Variable<Value> {
  const { kind: _kind, rule: _rule, ...rest } = terms;
  const options = { ...rest, resolve: rule, version: definedVersion } as unknown;
  if (kind === 'boolean') return variables.boolean(name, options as VariableOptions<boolean>) as Variable<Value>;
  if (kind === 'choice') return variables.choice(name, options as ChoiceOptions<string>) as Variable<Value>;
  // What becomes of a number out of range is each node's own affair; who types one should hear of it.
  const ofNumber = { ...(options as NumberOptions), outOfRange: 'reject' } as const;
  const variable = kind === 'integer' ? variables.integer(name, ofNumber) : variables.float(name, ofNumber);
  return variable as Variable<Value>;
}

/** The shape that definitions are announced in; the criteria themselves are checked by who tells the agents. */
function isAffects(affects: Value): boolean {
  if (typeof affects !== 'object' || affects === null || Array.isArray(affects) || !('agents' in affects)) return false;
  const { agents, method } = affects as { readonly agents: Value; readonly method?: Value };
  return typeof agents === 'object' && agents !== null && (method === undefined || typeof method === 'string');
}

/** Read-only, and disposed of once whatever its holder does. */
function observedOf(variable: Variable<Value>, onDispose: () => void): ObservedVariable {
  let isHeld = true;
  return {
    name: variable.name,
    kind: variable.kind,
    get value() {
      return variable.value;
    },
    get version() {
      return variable.version;
    },
    get agreed() {
      return variable.agreed;
    },
    get conflict() {
      return variable.conflict;
    },
    watch: (options) => variable.watch(options),
    contributions: () => variable.contributions(),
    explain: () => variable.explain(),
    [Symbol.dispose]() {
      if (isHeld) onDispose();
      isHeld = false;
    },
  };
}
