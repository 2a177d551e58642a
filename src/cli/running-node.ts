/** Which of the nodes running on this machine a command talks to. */

import { type ControlClient, findNodes } from '../control/client.ts';
import { controlDirectory } from '../control/directory.ts';
import { QuorateError } from '../errors.ts';

export interface NodeChoice {
  readonly client: ControlClient;
  /** A word about the choice when there was one; for people, on standard error. */
  readonly note: string | undefined;
}

const describe = ({ greeting }: ControlClient): string =>
  `  --node ${greeting.pid}   mesh '${greeting.mesh}', node ${greeting.node}`;

/**
 * The node that `wanted` (a process id, a mesh name, or the beginning or end of a node id) names, or the
 * only one. Several of one mesh give the same answers, so the first is taken and `note` says so. Throws
 * `CONTROL_UNAVAILABLE` for none and for a choice that is not clear.
 */
export async function chooseNode(wanted: string | undefined, directory = controlDirectory()): Promise<NodeChoice> {
  const all = await findNodes(directory);
  const matching = all.filter(({ greeting }) => wanted === undefined || isMeant(greeting, wanted));
  const [first] = matching;
  const choice = first === undefined ? undefined : { client: first, note: noteOn(matching) };
  for (const client of all) if (client !== choice?.client || choice === undefined) client.close();
  if (choice === undefined) throw notFound(wanted, all, directory);
  if (new Set(matching.map(({ greeting }) => greeting.mesh)).size > 1) {
    choice.client.close();
    throw new QuorateError(
      'CONTROL_UNAVAILABLE',
      `Nodes of several meshes run here; say which is meant:\n${matching.map(describe).join('\n')}`,
      { nodes: matching.map(({ greeting }) => greeting) },
    );
  }
  return choice;
}

function isMeant(greeting: ControlClient['greeting'], wanted: string): boolean {
  const { pid, mesh, node } = greeting;
  const id = wanted.startsWith('…') ? wanted.slice(1) : wanted;
  return String(pid) === wanted || mesh === wanted || (id.length >= 4 && (node.startsWith(id) || node.endsWith(id)));
}

function noteOn(matching: readonly ControlClient[]): string | undefined {
  const [first] = matching;
  if (first === undefined || matching.length === 1) return undefined;
  const { mesh, pid } = first.greeting;
  return `${matching.length} nodes of mesh '${mesh}' run here; asking the one of process ${pid}. Choose with --node:\n${matching.map(describe).join('\n')}`;
}

function notFound(wanted: string | undefined, all: readonly ControlClient[], directory: string): QuorateError {
  if (wanted === undefined) {
    return new QuorateError(
      'CONTROL_UNAVAILABLE',
      `No node of yours runs on this machine (none in ${directory}). Start one with 'quorate up', or call serveControl(mesh) in your application.`,
      { directory },
    );
  }
  const running = all.length === 0 ? ' None runs here.' : ` There are:\n${all.map(describe).join('\n')}`;
  return new QuorateError('CONTROL_UNAVAILABLE', `No running node is meant by '${wanted}'.${running}`, { wanted });
}
