/** Never hears the requests of one client, whoever passes them on. */
import { decodeMessage } from '../../../../src/protocols/pbft/encoding.ts';
import { defaultParameters } from '../../../../src/protocols/pbft/group.ts';
import { nodeNumber } from '../keys.ts';
import type { Adversary } from '../node.ts';

export function censor(): Adversary {
  const victim = nodeNumber(100);
  return {
    name: 'censor',
    incoming(_from, bytes) {
      if (bytes[0] !== 1) return true;
      const decoded = decodeMessage(bytes, defaultParameters);
      return typeof decoded === 'string' || decoded.message.type !== 'request' || decoded.message.client !== victim;
    },
  };
}
