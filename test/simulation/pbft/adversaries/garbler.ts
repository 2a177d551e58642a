/** Sends bytes that are almost messages: flipped bits, cut ends, one type's body under another's number. */
import type { Adversary, Corruption } from '../node.ts';

export function garbler({ world, peers, sendBytes }: Corruption): Adversary {
  const { rng } = world;
  let sample: Uint8Array = Uint8Array.of(1);
  return {
    name: 'garbler',
    incoming(_from, bytes) {
      if (rng.float() < 0.2) sample = bytes;
      return true;
    },
    tick() {
      const bytes = Uint8Array.from(sample);
      const style = rng.below(4);
      if (style === 0) bytes[rng.below(bytes.length)] = rng.below(256);
      if (style === 1) bytes[0] = rng.below(20);
      const sent =
        style === 2 ? bytes.subarray(0, rng.below(bytes.length)) : style === 3 ? rng.bytes(rng.below(200)) : bytes;
      for (const to of peers) sendBytes(to, sent);
    },
  };
}
