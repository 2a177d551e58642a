/** Who decides in this mesh, how they are, and votes on who they are. */
import * as v from 'valibot';
import { QuorateError } from '../errors.ts';
import type { Mesh } from '../mesh.ts';
import type { NodeId } from '../node-id.ts';
import type { Value } from '../value.ts';
import { checked, findId, given, type Operation, text, timeoutSchema } from './operation.ts';

const healthArgs = v.strictObject({ timeoutMs: timeoutSchema });
const changeArgs = v.strictObject({
  action: v.picklist(['add', 'remove', 'replace']),
  id: text,
  by: v.optional(text),
  f: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  timeoutMs: timeoutSchema,
});

/** A validator that is gone is no member any more, and one that comes is no validator yet: both are found. */
function known(mesh: Mesh): NodeId[] {
  const members = mesh.membership.members().map((member) => member.id);
  return [...new Set([...members, ...mesh.coordination.validators.list().validators])];
}

export const validatorOperations: Readonly<Record<string, Operation>> = {
  validators: {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { timeoutMs } = checked(healthArgs, args);
      const set = mesh.coordination.validators.list();
      const health = await mesh.coordination.validators.health({ ...given({ timeoutMs }), signal });
      return { self: mesh.id, set, health } as unknown as Value;
    },
  },
  'validators.change': {
    deadlineMs: undefined,
    async run(mesh, args, { signal }) {
      const { action, id, by, f, timeoutMs } = checked(changeArgs, args);
      const { validators } = mesh.coordination;
      const ids = known(mesh);
      const node = findId(ids, id);
      const options = { ...given({ f, timeoutMs }), signal };
      const before = validators.list();
      const change = async (): ReturnType<typeof validators.add> => {
        if (action === 'add') return validators.add(node, options);
        if (action === 'remove') return validators.remove(node, options);
        if (by === undefined)
          throw new QuorateError('INVALID_ARGUMENT', 'Replaced by whom? Give the id of the new one.');
        return validators.replace(node, findId(ids, by), options);
      };
      return { before, change: await change() } as unknown as Value;
    },
  },
};
