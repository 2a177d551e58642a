/**
 * Which group of validators a mesh has: the name, the founders, and the constants all must share. Its hash is the group's id, part of everything
 * that is signed; so whoever knows the definition can check every claim about later validators.
 */
import * as v from 'valibot';
import type { NodeId } from '../../../node-id.ts';
import { isNodeId } from '../../../node-id.ts';
import { decodePayload, encodePayload } from '../../../payload.ts';
import {
  defaultParameters,
  foundingGroup,
  type Group,
  type GroupParameters,
  groupId,
  validatorsProblem,
} from '../../pbft/group.ts';
import { maxValidators, resilienceProblem } from '../../pbft/quorum.ts';

export interface GroupDefinition {
  /** The mesh's. */
  readonly name: string;
  readonly founders: Group;
  readonly parameters: GroupParameters;
  readonly id: Uint8Array;
}

/** Results of a bundle of reads may be larger than the bundle; the rest is as the agreement protocol has it. */
export const coordinationParameters: GroupParameters = { ...defaultParameters, maxResultBytes: 1 << 20 };

/** Founders are one group in whatever order their operators wrote them down. */
export const inOneOrder = (validators: readonly NodeId[]): NodeId[] => [...validators].sort();

/** Throws `INVALID_ARGUMENT` for ids that are none or repeat, and for n < 3f + 1, with minimum and actual. */
export function defineGroup(name: string, validators: readonly NodeId[], f: number): GroupDefinition {
  const founders = foundingGroup(inOneOrder(validators), f);
  const parameters = coordinationParameters;
  return { name, founders, parameters, id: groupId(name, founders, parameters) };
}

const schema = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/)),
  validators: v.pipe(
    v.array(v.custom<NodeId>((id) => typeof id === 'string' && isNodeId(id))),
    v.maxLength(maxValidators),
  ),
  f: v.pipe(v.number(), v.safeInteger()),
});

/** The most bytes an encoded definition has. */
export const maxDefinitionBytes = 8 * 1024;

export function encodeDefinition({ name, founders }: GroupDefinition): Uint8Array {
  return encodePayload({ name, validators: founders.validators, f: founders.f }, maxDefinitionBytes);
}

/** The definition in bytes from a peer or a file, or undefined. */
export function decodeDefinition(bytes: Uint8Array): GroupDefinition | undefined {
  if (bytes.length > maxDefinitionBytes) return undefined;
  const decoded = decodePayload(bytes);
  const parsed = v.safeParse(schema, decoded.ok ? decoded.value : undefined);
  if (!parsed.success) return undefined;
  const { name, validators, f } = parsed.output;
  if (validatorsProblem(validators) !== undefined || resilienceProblem(validators.length, f) !== undefined)
    return undefined;
  return defineGroup(name, validators, f);
}
