/**
 * The optional pre-shared key of a mesh: libp2p's pnet protector, and the recognition of a wrong key.
 *
 * Pnet only exchanges two nonces and then encrypts; with another key the other side reads garbage, and
 * nothing says so before a time-out. But the first bytes of every libp2p connection are known: the header
 * of multistream-select, in both directions. So whoever first reads something else knows at once:
 * - we have a key, and the decrypted start is no header: the peer has another key;
 * - we have a key, and the plain start is a header: the peer has none;
 * - we have none, and the start is 24 bytes that are no header: that is a nonce, the peer has a key.
 * The wire stays plain libp2p; only the diagnosis is ours.
 */
import type { ConnectionProtector, MessageStream } from '@libp2p/interface';
import { preSharedKey } from '@libp2p/pnet';
import type { Uint8ArrayList } from 'uint8arraylist';
import { QuorateError } from '../../errors.ts';

/** Length prefix, name and newline of `/multistream/1.0.0`, with which libp2p opens every conversation. */
export const multistreamHeader = new TextEncoder().encode('\x13/multistream/1.0.0\n');
/** What pnet sends first: 24 random bytes. */
export const nonceBytes = 24;

/** True when `bytes` start as the header does, as far as they go; undefined when there are none. */
export function startsLikeHeader(bytes: Uint8Array): boolean | undefined {
  if (bytes.length === 0) return undefined;
  const length = Math.min(bytes.length, multistreamHeader.length);
  for (let at = 0; at < length; at++) if (bytes[at] !== multistreamHeader[at]) return false;
  return true;
}

/** Throws `INVALID_OPTIONS` for anything but 64 hexadecimal digits. */
export function checkNetworkKey(networkKey: string): void {
  if (/^[0-9a-f]{64}$/i.test(networkKey)) return;
  throw new QuorateError(
    'INVALID_OPTIONS',
    'A network key has 32 bytes, written as 64 hexadecimal digits. Make one with: openssl rand -hex 32.',
    { option: 'networkKey', length: networkKey.length },
  );
}

/** A protector that ends the connection, and says so, when the peer turns out to have another key. */
export function protectorOf(networkKey: string, onWrongKey: (connection: MessageStream) => void) {
  const psk = new TextEncoder().encode(`/key/swarm/psk/1.0.0/\n/base16/\n${networkKey.toLowerCase()}`);
  return (): ConnectionProtector => {
    const protector: ConnectionProtector = preSharedKey({ psk })();
    return {
      async protect(connection, options) {
        const box = await protector.protect(connection, options);
        checkFirstBytes(box, () => {
          onWrongKey(connection);
          box.abort(new QuorateError('WRONG_NETWORK_KEY', 'The peer has another network key.'));
        });
        return box;
      },
    };
  };
}

/** The stream's way in, and what came in before anybody read it. */
interface Intake {
  onData(data: Uint8Array | Uint8ArrayList): void;
  readonly readBuffer: Uint8ArrayList;
}

function checkFirstBytes(box: MessageStream, wrongKey: () => void): void {
  const intake = box as MessageStream & Intake;
  const onData = intake.onData.bind(box);
  let start = new Uint8Array(0);
  const isWrong = (data: Uint8Array): boolean => {
    start = Buffer.concat([start, data]).subarray(0, multistreamHeader.length);
    return startsLikeHeader(start) === false;
  };
  // The peer's first encrypted bytes may have come in one packet with its nonce.
  if (isWrong(intake.readBuffer.subarray())) {
    wrongKey();
    return;
  }
  if (start.length === multistreamHeader.length) return;
  intake.onData = (data) => {
    if (isWrong(data.subarray())) {
      wrongKey();
      return;
    }
    if (start.length === multistreamHeader.length) intake.onData = onData;
    onData(data);
  };
}
