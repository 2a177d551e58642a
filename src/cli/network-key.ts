/**
 * The pre-shared key of a mesh comes from a file or the environment, never from an argument: arguments are
 * seen by every user of the machine and kept in shell histories. It is never printed.
 */
import { readFileSync, statSync } from 'node:fs';
import { QuorateError } from '../errors.ts';

export const networkKeyVariable = 'QUORATE_NETWORK_KEY';

/** Throws `KEY_INVALID` for a file that cannot be read, is no key, or can be read by others. */
export function readNetworkKey(file: string | undefined, env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (file === undefined) {
    const key = env[networkKeyVariable]?.trim();
    if (key === undefined || key === '') return undefined;
    return checked(key, `the environment variable ${networkKeyVariable}`);
  }
  let text: string;
  let mode: number;
  try {
    text = readFileSync(file, 'utf8');
    mode = statSync(file).mode;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError('KEY_INVALID', `The network key file cannot be read: ${why}.`, { file }, { cause });
  }
  if ((mode & 0o077) !== 0) {
    throw new QuorateError(
      'KEY_INVALID',
      `Others on this machine can read the network key file ${file}; whoever has it can join. Run: chmod 600 ${file}`,
      { file },
    );
  }
  return checked(text.trim(), file);
}

function checked(key: string, source: string): string {
  if (/^[0-9a-fA-F]{64}$/.test(key)) return key;
  throw new QuorateError(
    'KEY_INVALID',
    `What ${source} holds is no network key: 64 hex digits are wanted, this has ${key.length} characters. Make one with 'quorate keygen --network'.`,
    { length: key.length },
  );
}
