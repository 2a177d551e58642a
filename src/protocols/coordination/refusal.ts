/** Refusals of the machine as errors with a sentence. */
import { type ErrorCode, type ErrorData, QuorateError } from '../../errors.ts';
import type { Value } from '../../value.ts';
import type { Answer } from './machine/reducer.ts';

/** The value of an answer; a refusal is thrown, with the sentence that belongs to its code. */
export function accepted(answer: Answer, sentences: Partial<Record<ErrorCode, (data: ErrorData) => string>>): Value {
  if (answer.ok) return answer.value;
  throw refusalError(answer.code, answer.data, sentences);
}

export function refusalError(
  code: ErrorCode,
  data: ErrorData,
  sentences: Partial<Record<ErrorCode, (data: ErrorData) => string>>,
): QuorateError {
  const sentence = sentences[code]?.(data);
  if (sentence !== undefined) return new QuorateError(code, sentence, data);
  const reason = typeof data['reason'] === 'string' ? `: ${data['reason']}` : '';
  return new QuorateError(code, `The validators refused this command (${code}${reason}).`, data);
}
