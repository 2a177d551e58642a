/** What an application registers, checked in one pass: one error names everything that is wrong. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import {
  agentIdProblem,
  completeFields,
  isPlainObject,
  type Problems,
  type RecordFields,
  readFields,
  unknownFields,
} from '../../crdt/registry-record.ts';
import { QuorateError } from '../../errors.ts';

/** Checks and may transform `custom`; any Standard Schema, synchronous or not. */
export type CustomSchema<Custom> = StandardSchemaV1<unknown, Custom>;

/** The fields of a new record. Throws `INVALID_ARGUMENT` or `INVALID_METADATA`, whose `data.fields` name each mistake. */
export async function acceptRegistration(
  id: unknown,
  handler: unknown,
  metadata: unknown,
  zone: string,
  schema: CustomSchema<unknown> | undefined,
): Promise<RecordFields> {
  const problems: Problems = new Map();
  const idProblem = agentIdProblem(id);
  if (idProblem !== undefined) problems.set('id', idProblem);
  if (!isHandler(handler)) problems.set('handler', 'must be a function or an object of functions');
  let fields: Partial<RecordFields> = {};
  if (isPlainObject(metadata)) {
    if (metadata['capabilities'] === undefined) problems.set('capabilities', 'is required');
    const given = await withCheckedCustom(metadata, schema, metadata['custom'] ?? {}, problems);
    fields = readAll(given, problems);
  } else problems.set('metadata', 'must be an object with at least `capabilities`');
  if (problems.size > 0) throw invalid(`Agent ${name(id)} cannot be registered`, problems);
  return completeFields(fields, zone);
}

/** The fields to replace. Throws `INVALID_ARGUMENT` or `INVALID_METADATA`. */
export async function acceptChanges(
  id: string,
  changes: unknown,
  schema: CustomSchema<unknown> | undefined,
): Promise<Partial<RecordFields>> {
  const problems: Problems = new Map();
  let fields: Partial<RecordFields> = {};
  if (isPlainObject(changes)) {
    const hasCustom = changes['custom'] !== undefined;
    const given = await withCheckedCustom(changes, hasCustom ? schema : undefined, changes['custom'], problems);
    fields = readAll(given, problems);
  } else problems.set('metadata', 'must be an object of the fields to replace');
  if (problems.size > 0) throw invalid(`Agent ${name(id)} cannot be updated`, problems);
  return fields;
}

function readAll(metadata: Record<string, unknown>, problems: Problems): Partial<RecordFields> {
  for (const field of unknownFields(metadata)) {
    problems.set(field, 'is no field of the metadata; fields of your own go into `custom`');
  }
  return readFields(metadata, problems);
}

/** The metadata with `custom` as the schema returns it; without `custom` when the schema refuses it. */
async function withCheckedCustom(
  metadata: Record<string, unknown>,
  schema: CustomSchema<unknown> | undefined,
  custom: unknown,
  problems: Problems,
): Promise<Record<string, unknown>> {
  if (schema === undefined) return metadata;
  const { custom: _, ...others } = metadata;
  let result: StandardSchemaV1.Result<unknown>;
  try {
    const answer = schema['~standard'].validate(custom);
    result = answer instanceof Promise ? await answer : answer;
  } catch (error) {
    problems.set('custom', `could not be checked, the metadata schema threw: ${String(error)}`);
    return others;
  }
  if (result.issues === undefined) return { ...others, custom: result.value };
  for (const issue of result.issues) {
    const path = (issue.path ?? []).map((key) => String(typeof key === 'object' ? key.key : key));
    problems.set(['custom', ...path].join('.'), issue.message);
  }
  return others;
}

/** One function, or an object with at least one method and nothing else. */
function isHandler(handler: unknown): boolean {
  if (typeof handler === 'function') return true;
  if (typeof handler !== 'object' || handler === null) return false;
  const methods = Object.values(handler);
  return methods.length > 0 && methods.every((method) => typeof method === 'function');
}

const name = (id: unknown): string => (typeof id === 'string' ? `'${id.slice(0, 256)}'` : `(${typeof id})`);

function invalid(what: string, problems: Problems): QuorateError {
  const arguments_ = ['id', 'handler', 'metadata'];
  const code = arguments_.some((field) => problems.has(field)) ? 'INVALID_ARGUMENT' : 'INVALID_METADATA';
  const list = [...problems].map(([field, problem]) => `${field} ${problem}`);
  return new QuorateError(code, `${what}: ${list.join('; ')}.`, { fields: Object.fromEntries(problems) });
}
