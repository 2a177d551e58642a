/** What a signature of a certificate covers. The domain keeps it apart from everything else a node signs. */
import { Writer } from '../../pbft/wire.ts';

const domain = new TextEncoder().encode('quorate/certificate/1');

export function statementBytes(group: Uint8Array, epoch: number, query: Uint8Array, statement: Uint8Array): Uint8Array {
  return new Writer().bytes(domain).bytes(group).uint(epoch).bytes(query).bytes(statement).finish();
}
