/**
 * Variables for people and scripts. To look at one writes nothing; to set or agree on one that this node's program has not defined makes the node take part in
 * it, as others define it, until it is withdrawn or the node stops.
 */
import * as v from 'valibot';
import { QuorateError } from '../errors.ts';
import type { Mesh } from '../mesh.ts';
import type { Value } from '../value.ts';
import {
  checked,
  type Fields,
  given,
  nothing,
  type Operation,
  type OperationContext,
  text,
  timeoutSchema,
} from './operation.ts';

type Variables = Mesh['variables'];
type Announced = ReturnType<Variables['announced']>[number];
type Observed = ReturnType<Variables['observe']>;
type Explanation = ReturnType<Observed['explain']>;
type Write = Awaited<ReturnType<ReturnType<Variables['adopt']>['set']>>;

/** What is announced of a variable, or known of one of this node alone. */
type Terms = Omit<Announced, 'scope' | 'terms'> & {
  readonly scope: 'node' | 'zone' | 'cluster';
  readonly terms: Fields;
};

export interface VariableRow extends Terms {
  /** Undefined when `obstacle` says why this node cannot tell. */
  readonly value: Value;
  readonly source: Explanation['source'] | undefined;
  readonly version: number;
  readonly agreed: Observed['agreed'];
  /** Contributions that count, and entries that do not. */
  readonly contributions: number;
  readonly ignored: number;
  /** Why this node's own definition does not stand. */
  readonly conflict: string | undefined;
}

export interface VariableAnswer {
  readonly self: string;
  readonly variable: VariableRow;
  readonly explanation: Explanation | undefined;
}

export interface WriteAnswer extends Write {
  readonly name: string;
  /** It is the one value for all, and `version` is that of the agreement; otherwise one contribution among others. */
  readonly isAgreed: boolean;
  /** This node takes part from now on, and did not before. */
  readonly adopted: boolean;
}

/** The ordered map in which agreed values are kept (PROTOCOL.md). */
const agreementsMap = 'quorate/variables';
/** For the validators' answer, and then for that of this node's own watch; milliseconds. */
const agreementWaitMs = 2_000;
const lookAgainMs = 20;
/** Variables whose agreed values are asked for at a time: anybody can announce many. */
const atOnce = 100;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const nameArgs = v.strictObject({ name: text });
const setArgs = v.strictObject({
  name: text,
  value: v.optional(v.any()),
  typed: v.optional(text),
  weight: v.optional(v.number()),
  ifVersion: v.optional(count),
  timeoutMs: timeoutSchema,
});
const coordinateArgs = v.omit(setArgs, ['weight']);

/** The one that concerns this node, if anybody announces the name. */
function announcedHere(mesh: Mesh, name: string): Terms | undefined {
  return (
    mesh.variables.announced().find((one) => one.name === name && one.zone === undefined) ?? ofThisNodeAlone(mesh, name)
  );
}

/** A variable of scope 'node', which nobody else hears of. */
function ofThisNodeAlone(mesh: Mesh, name: string): Terms | undefined {
  const status = mesh.variables.status().find((one) => one.name === name);
  if (status === undefined) return undefined;
  const { kind, scope, sync, rule, definedVersion } = status;
  const nobody = { zone: undefined, otherVersions: [], conflicts: [], isAgreed: false, obstacle: undefined };
  return { name, kind, scope, sync, rule, definedVersion, terms: {}, definedBy: [mesh.id], here: 'defined', ...nobody };
}

/** The row of a variable, from `variable` as far as this node can show it. */
function rowOf(terms: Terms, variable: Observed | undefined): VariableRow {
  const explanation = variable?.explain();
  return {
    ...terms,
    value: variable?.value,
    source: explanation?.source,
    version: variable?.version ?? 0,
    agreed: variable?.agreed,
    contributions: explanation?.counted.length ?? 0,
    ignored: explanation?.ignored.length ?? 0,
    conflict: variable?.conflict?.message,
  };
}

/** Looks at a variable, at what was agreed on too, and then no more. Throws what keeps the validators from answering: the value is not known then. */
async function look<T>(mesh: Mesh, terms: Terms, signal: AbortSignal, show: (variable: Observed) => T): Promise<T> {
  using variable = mesh.variables.observe(terms.name);
  if (terms.here === undefined && (terms.sync === 'strong' || terms.isAgreed)) {
    const map = mesh.coordination.map(agreementsMap);
    const found = await map.get(terms.name, { signal, timeoutMs: agreementWaitMs });
    const until = performance.now() + agreementWaitMs;
    // What is void is never shown, so there is an end to waiting for it.
    while (found !== undefined && variable.agreed === undefined && !signal.aborted && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
    }
  }
  return show(variable);
}

async function list(mesh: Mesh, args: Fields, { signal }: OperationContext): Promise<Value> {
  checked(nothing, args);
  const announced: readonly Terms[] = mesh.variables.announced();
  const names = new Set(announced.filter(({ zone }) => zone === undefined).map(({ name }) => name));
  const alone = mesh.variables
    .status()
    .flatMap(({ name }) => (names.has(name) ? [] : (ofThisNodeAlone(mesh, name) ?? [])));
  const all = [...announced, ...alone];
  const rows: VariableRow[] = [];
  for (let at = 0; at < all.length && !signal.aborted; at += atOnce) {
    const some = all.slice(at, at + atOnce).map((terms) => shownRow(mesh, terms, signal));
    rows.push(...(await Promise.all(some)));
  }
  return { self: mesh.id, variables: rows } as unknown as Value;
}

/** One bad row must not hide the others: its terms may not hold together, it may have gone since, the validators may not answer. */
async function shownRow(mesh: Mesh, terms: Terms, signal: AbortSignal): Promise<VariableRow> {
  if (terms.here === undefined && terms.obstacle !== undefined) return rowOf(terms, undefined);
  try {
    return await look(mesh, terms, signal, (variable) => rowOf(terms, variable));
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error;
    return rowOf({ ...terms, obstacle: error.message }, undefined);
  }
}

async function get(mesh: Mesh, args: Fields, { signal }: OperationContext): Promise<Value> {
  const { name } = checked(nameArgs, args);
  const terms = announcedHere(mesh, name);
  if (terms === undefined) mesh.variables.observe(name); // Throws, with what there is to do.
  const answer = await look(mesh, terms as Terms, signal, (variable) => ({
    self: mesh.id,
    variable: rowOf(terms as Terms, variable),
    explanation: variable.explain(),
  }));
  return answer as unknown as Value;
}

/** The variable of this node, or adopted; anew when the others have gone on to a later version since. */
function takePart(mesh: Mesh, name: string): { readonly variable: ReturnType<Variables['adopt']>; adopted: boolean } {
  const before = announcedHere(mesh, name);
  if (before?.here === 'adopted') {
    const own = mesh.variables.status().find((one) => one.name === name);
    if (own !== undefined && own.definedVersion < before.definedVersion) mesh.variables.get(name)?.[Symbol.dispose]();
  }
  return { variable: mesh.variables.adopt(name), adopted: before?.here === undefined };
}

/** What was typed means itself for a choice, even where it looks like a number. */
function valueFor(
  kind: Announced['kind'],
  { value, typed }: { readonly value?: Value; readonly typed?: string | undefined },
): Value {
  return kind === 'choice' && typed !== undefined ? typed : value;
}

async function set(mesh: Mesh, args: Fields, { signal }: OperationContext): Promise<Value> {
  const { name, weight, ifVersion, timeoutMs, ...what } = checked(setArgs, args);
  if (what.value === undefined) throw new QuorateError('INVALID_ARGUMENT', `Set '${name}' to which value?`);
  const { variable, adopted } = takePart(mesh, name);
  const value = valueFor(variable.kind, what);
  try {
    const written = await variable.set(value, { ...given({ weight, ifVersion, timeoutMs }), signal });
    const isStrong = mesh.variables.status().some((one) => one.name === name && one.sync === 'strong');
    return { name, isAgreed: isStrong, adopted, ...written } as unknown as Value;
  } catch (error) {
    leaveIf(adopted, variable, error);
    throw error;
  }
}

async function coordinate(mesh: Mesh, args: Fields, { signal }: OperationContext): Promise<Value> {
  const { name, ifVersion, timeoutMs, ...what } = checked(coordinateArgs, args);
  const { variable, adopted } = takePart(mesh, name);
  const value = valueFor(variable.kind, what);
  try {
    const options = { ...given({ value, ifVersion, timeoutMs }), signal };
    const written = await variable.coordinate({ consistency: 'strong', ...options });
    return { name, isAgreed: true, adopted, ...written } as unknown as Value;
  } catch (error) {
    leaveIf(adopted, variable, error);
    throw error;
  }
}

/** What was refused leaves nothing behind; what may have happened is for this node to tell the others. */
function leaveIf(adopted: boolean, variable: Disposable, error: unknown): void {
  const mayHaveHappened = error instanceof QuorateError && error.code === 'UNKNOWN_OUTCOME';
  if (adopted && !mayHaveHappened) variable[Symbol.dispose]();
}

async function withdraw(mesh: Mesh, args: Fields): Promise<Value> {
  const { name } = checked(nameArgs, args);
  const terms = announcedHere(mesh, name);
  const variable = mesh.variables.get(name);
  if (terms === undefined && variable === undefined) mesh.variables.observe(name); // Throws, with what there is to do.
  if (variable === undefined) return { name, withdrawn: false, left: false };
  const { counted, ignored } = variable.explain();
  const withdrawn = [...counted, ...ignored].some(({ node }) => node === mesh.id);
  const left = terms?.here === 'adopted';
  // What the program has defined stays its own: only the contribution goes.
  if (left) variable[Symbol.dispose]();
  else variable.withdraw();
  return { name, withdrawn, left };
}

/** The value it has, and then each change; goes on when the program of this node defines the variable meanwhile. */
async function watch(mesh: Mesh, args: Fields, { signal, item }: OperationContext): Promise<Value> {
  const { name } = checked(nameArgs, args);
  while (!signal.aborted) {
    using variable = mesh.variables.observe(name);
    const changes = variable.watch({ signal });
    await item({ type: 'value', name, value: variable.value, version: variable.version, at: Date.now() });
    for await (const change of changes) await item({ type: 'change', name, ...change });
  }
  return undefined;
}

export const variableOperations: Readonly<Record<string, Operation>> = {
  variables: { deadlineMs: 30_000, run: list },
  'variables.get': { deadlineMs: 30_000, run: get },
  'variables.set': { deadlineMs: undefined, run: set },
  'variables.coordinate': { deadlineMs: undefined, run: coordinate },
  'variables.withdraw': { deadlineMs: 5_000, run: withdraw },
  'variables.watch': { deadlineMs: undefined, run: watch },
};
