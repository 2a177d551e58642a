/** The exact line with which another terminal joins, for the way this program itself was started. */
import { basename } from 'node:path';

/** How a person on this machine starts the command line again. */
export function invocation(script: string | undefined = process.argv[1], env: NodeJS.ProcessEnv = process.env): string {
  if (script !== undefined && basename(script) === 'main.ts') return 'npm run -s quorate --'; // In a clone.
  return env['npm_command'] === 'exec' ? 'npx quorate' : 'quorate';
}

export interface JoinFacts {
  readonly name: string;
  /** Addresses of the node to join by; the best is chosen. */
  readonly addresses: readonly string[];
  readonly networkKeyFile: string | undefined;
  readonly hasNetworkKey: boolean;
}

/** Undefined when the node has no address at which to be joined. */
export function joinLine(facts: JoinFacts, command = invocation()): string | undefined {
  // An address that other machines reach is of more use than loopback.
  const address = facts.addresses.find((text) => !/^\/(ip4\/127\.|ip6\/::1\/)/.test(text)) ?? facts.addresses[0];
  if (address === undefined) return undefined;
  const words = [command, 'up'];
  if (facts.name !== 'default') words.push('--name', facts.name);
  words.push('--bootstrap', address);
  if (facts.networkKeyFile !== undefined) words.push('--network-key-file', quote(facts.networkKeyFile));
  const secret = facts.hasNetworkKey && facts.networkKeyFile === undefined ? 'QUORATE_NETWORK_KEY=… ' : '';
  return `${secret}${words.join(' ')}`;
}

/** As a POSIX shell wants it. */
function quote(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
