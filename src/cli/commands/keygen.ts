/** `quorate keygen`: makes the keys of a node and of a mesh. Secrets go to files of mode 0600, or where the user sends them. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { QuorateError } from '../../errors.ts';
import { type CommandContext, runAction } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';

interface KeygenOptions {
  readonly network?: boolean;
  readonly out?: string;
  readonly json?: boolean;
}

export function registerKeygen(program: Command, context: CommandContext): void {
  program
    .command('keygen')
    .description('make a pre-shared key for a mesh (--network)')
    .option('--network', 'a pre-shared key: only nodes with the same one can connect')
    .option('--out <file>', 'write the key there (0600, never over an existing file) instead of printing it')
    .option('--json', 'print JSON')
    .action(
      runAction(
        context,
        (options: KeygenOptions) => options.json === true,
        async (options) => {
          if (!options.network) throw new QuorateError('INVALID_ARGUMENT', 'Say which key: --network.');
          const key = randomBytes(32).toString('hex');
          const { out } = options;
          if (out === undefined) context.terminal.out(options.json ? `${toJson({ networkKey: key })}\n` : `${key}\n`);
          else {
            writeSecret(out, `${key}\n`);
            context.terminal.out(
              options.json
                ? `${toJson({ file: out })}\n`
                : `Written to ${out}. Give it to every node: --network-key-file ${out}\n`,
            );
          }
          return exitCodes.ok;
        },
      ),
    );
}

/** Throws `INVALID_ARGUMENT` when the file is there already: a key that is in use must not be lost. */
function writeSecret(file: string, text: string): void {
  try {
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError('INVALID_ARGUMENT', `The key was not written: ${why}.`, { file }, { cause });
  }
}
