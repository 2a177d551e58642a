/** Refusals of the reducer as errors for people. */
import { QuorateError } from '../../../errors.ts';
import type { Answer } from '../machine/reducer.ts';

type Refusal = Extract<Answer, { ok: false }>;

export function refusal({ code, data }: Refusal): QuorateError {
  return new QuorateError(code, explain({ code, data } as Refusal), data);
}

const notPermitted: Readonly<Record<string, string>> = {
  'not-a-participant': 'it was not asked to take part. Only participants named at the opening vote',
  'lives-elsewhere': 'it was on another node when this was proposed. Vote from there',
  'voted-already': 'it has voted otherwise already. A vote is final',
  decided: 'the matter is decided. Look at the decision',
  'not-the-proposer': 'another node proposed it. Withdraw it there',
};

function explain({ code, data }: Refusal): string {
  const about = `Proposal '${String(data['id'] ?? '')}'`;
  switch (code) {
    case 'NOT_FOUND':
      return `${about} does not exist, or was decided long ago and is forgotten. Check the id.`;
    case 'ALREADY_EXISTS':
      return `${about} exists already with other terms. Choose another id, or ask for its decision.`;
    case 'NOT_PERMITTED': {
      const why = notPermitted[String(data['reason'])] ?? String(data['reason']);
      const who = data['agent'] === undefined ? '' : ` for '${String(data['agent'])}'`;
      return `${about}: this is not for this node to do${who}: ${why}.`;
    }
    case 'TOO_FEW_PARTICIPANTS':
      return `The rule needs at least ${String(data['minimum'])} participants; there are ${String(data['actual'])}. Name more, or ask for less.`;
    case 'LIMIT_EXCEEDED':
      return `The validators keep no more ${String(data['what'])} (${String(data['limit'])}). Wait until some are decided.`;
    case 'PAYLOAD_TOO_LARGE':
      return `The value of this vote has ${String(data['bytes'])} bytes; ${String(data['limit'])} are each participant's part. Vote for a reference to it.`;
    default:
      return `The validators refused this: ${String(data['reason'] ?? code)}.`;
  }
}
