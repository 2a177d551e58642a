/** `quorate keygen`: makes the keys of a node and of a mesh. Secrets go to files of mode 0600, or where the user sends them. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { QuorateError } from '../../errors.ts';
import { ensureNodeKey } from '../../index.ts';
import { type CommandContext, runAction } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';

interface KeygenOptions {
  readonly dataDir?: string;
  readonly network?: boolean;
  readonly out?: string;
  readonly json?: boolean;
}

const founding = `
To found a group of validators, make their keys first; each of them starts with the ids of all:
  for n in 1 2 3 4; do quorate keygen --data-dir node-$n; done
  quorate up --data-dir node-1 --listen 4701 --validators ID1,ID2,ID3,ID4
  quorate up --data-dir node-2 --validators ID1,ID2,ID3,ID4 --bootstrap 127.0.0.1:4701   (3 and 4 alike)
Four bear one that lies (f = 1); three with --f 0 bear one that crashes. All others join as ever.`;

export function registerKeygen(program: Command, context: CommandContext): void {
  program
    .command('keygen')
    .description('make the key of a node (--data-dir) or a pre-shared key for a mesh (--network)')
    .option('--data-dir <dir>', 'make the key of a node there, unless it has one, and print its id (for --allow)')
    .option('--network', 'a pre-shared key: only nodes with the same one can connect')
    .option('--out <file>', 'write the key there (0600, never over an existing file) instead of printing it')
    .option('--json', 'print JSON')
    .addHelpText('after', founding)
    .action(
      runAction(
        context,
        (options: KeygenOptions) => options.json === true,
        async (options) => {
          if ((options.network === true) === (options.dataDir !== undefined)) {
            throw new QuorateError(
              'INVALID_ARGUMENT',
              'Say which key: --data-dir for a node, or --network for a mesh.',
            );
          }
          const print = (facts: object, text: string): void =>
            context.terminal.out(options.json ? `${toJson(facts)}\n` : text);
          if (options.dataDir === undefined) makeNetworkKey(options.out, print);
          else {
            const node = await ensureNodeKey(options.dataDir);
            print({ node, dataDir: options.dataDir }, `${node}\n`);
          }
          return exitCodes.ok;
        },
      ),
    );
}

function makeNetworkKey(out: string | undefined, print: (facts: object, text: string) => void): void {
  const networkKey = randomBytes(32).toString('hex');
  if (out === undefined) print({ networkKey }, `${networkKey}\n`);
  else {
    writeSecret(out, `${networkKey}\n`);
    print({ file: out }, `Written to ${out}. Give it to every node: --network-key-file ${out}\n`);
  }
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
