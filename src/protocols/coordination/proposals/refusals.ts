/** Refusals of the reducer as errors for people. */
import type { ErrorCode, ErrorData, QuorateError } from '../../../errors.ts';
import type { Answer } from '../machine/reducer.ts';
import { refusalError } from '../refusal.ts';

export const refusal = ({ code, data }: Extract<Answer, { ok: false }>): QuorateError =>
  refusalError(code, data, sentences);

const about = ({ id }: ErrorData): string => `Proposal '${String(id)}'`;

const notPermitted: Readonly<Record<string, string>> = {
  'not-a-participant': 'it was not asked to take part. Only participants named at the opening vote',
  'lives-elsewhere': 'it was on another node when this was proposed. Vote from there',
  'voted-already': 'it has voted otherwise already, and a vote is final',
  decided: 'the matter is decided. Look at the decision',
  'not-the-proposer': 'another node proposed it. Withdraw it there',
};

const sentences: Partial<Record<ErrorCode, (data: ErrorData) => string>> = {
  NOT_FOUND: (data) => `${about(data)} does not exist, or was decided long ago and is forgotten. Check the id.`,
  ALREADY_EXISTS: (data) =>
    `${about(data)} exists already with other terms. Choose another id, or ask for its decision.`,
  NOT_PERMITTED: (data) => {
    const who = data['agent'] === undefined ? '' : ` for '${String(data['agent'])}'`;
    const why = notPermitted[String(data['reason'])] ?? String(data['reason']);
    return `${about(data)}: this node may not do that${who}: ${why}.`;
  },
  TOO_FEW_PARTICIPANTS: ({ minimum, actual }) =>
    `The rule needs at least ${String(minimum)} participants; there are ${String(actual)}. Name more, or ask for less.`,
  LIMIT_EXCEEDED: ({ what, limit }) =>
    `The validators keep no more ${String(what)} than ${String(limit)}. Wait until some are decided.`,
  PAYLOAD_TOO_LARGE: ({ bytes, limit }) =>
    `The value of this vote has ${String(bytes)} bytes, encoded; each participant may have ${String(limit)}. Vote for a reference to it.`,
};
