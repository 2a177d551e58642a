/** Appends to a log until it is killed or the log fails, and says what is durable: `durable N`, `failed CODE ERRNO`. */
import { openFileLog } from '../../src/protocols/pbft/driver/write-ahead-log.ts';

const [directory = '', checkpoints = ''] = process.argv.slice(2);
const log = await openFileLog(directory, new Uint8Array(32).fill(7), { reserveBytes: 16 << 10 });
let last = 0;

function appendSome(): void {
  const until = last + 1 + (last % 7);
  while (last < until) {
    const seq = last + 1;
    const kind = checkpoints === 'checkpoints' && seq % 20 === 0 ? 'checkpoint' : 'proposal';
    last = log.append({ kind, epoch: 0, seq, view: 0, bytes: Buffer.alloc(seq % 900, seq % 251) });
  }
}

log.listen({
  onDurable(position) {
    process.stdout.write(`durable ${position}\n`);
    if (position === last) appendSome();
  },
  onFailed(error) {
    process.stdout.write(`failed ${error.code} ${error.data['code']}\n`);
    void log.close();
  },
});
appendSome();
