/** An agent that notes what it is told of variables. */
import type { Mesh } from '../../src/mesh.ts';
import type { VariableNotice } from '../../src/protocols/variables/variables.ts';

export async function toldAgent(
  mesh: Mesh,
  id: string,
  answer: () => unknown = () => undefined,
): Promise<VariableNotice[]> {
  const told: VariableNotice[] = [];
  const variableChanged = (notice: VariableNotice): unknown => {
    told.push(notice);
    return answer();
  };
  await mesh.registry.register(id, { variableChanged }, { capabilities: ['llm'] });
  return told;
}
