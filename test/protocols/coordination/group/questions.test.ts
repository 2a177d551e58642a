import { expect, test } from 'vitest';
import { realClock } from '../../../../src/clock.ts';
import { createIdentity } from '../../../../src/identity.ts';
import { Questions } from '../../../../src/protocols/coordination/group/questions.ts';

const [a, b, c] = [createIdentity().id, createIdentity().id, createIdentity().id];

test('an answer counts once for each that was asked, and is weighed once', async () => {
  const questions = new Questions<number>(realClock);
  let asked = 0;
  let weighed = 0;
  const answered = questions.put(
    [a, b],
    (id) => {
      asked = id;
    },
    (answers) => {
      weighed += 1;
      return answers.size === 2 ? [...answers.values()] : undefined;
    },
    { timeoutMs: 60_000 },
  );
  expect(questions.answer(c, asked, 9)).toBe(false);
  expect(questions.answer(a, asked + 1, 9)).toBe(false);
  expect(questions.answer(a, asked, 1)).toBe(true);
  for (let n = 0; n < 100; n++) expect(questions.answer(a, asked, 2)).toBe(false);
  expect(questions.answer(b, asked, 3)).toBe(true);
  expect((await answered).result).toEqual([1, 3]);
  expect(weighed).toBe(2);
  expect(questions.answer(b, asked, 4)).toBe(false);
});
