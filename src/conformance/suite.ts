/** What all conformance suites share: how cases are declared, and how a failure is expected. */
import assert from 'node:assert/strict';
import { type ErrorCode, QuorateError } from '../errors.ts';

/** What a suite is given to test an implementation with. */
export interface ConformanceOptions<Subject extends ConformanceSubject> {
  /** Declares one test: `test` or `it` of nearly any runner. */
  readonly test: (name: string, body: () => Promise<void>) => unknown;
  /** A new subject for each case. */
  readonly create: () => Promise<Subject>;
}

export interface ConformanceSubject {
  /** Must be idempotent: called at the end of each case, and by cases about stopping before that. */
  stop(): Promise<void>;
}

export type Cases<Subject> = Readonly<Record<string, (subject: Subject) => Promise<void>>>;

/** Declares each case as a test with a subject of its own. */
export function declareCases<Subject extends ConformanceSubject>(
  { test, create }: ConformanceOptions<Subject>,
  cases: Cases<Subject>,
): void {
  for (const [name, body] of Object.entries(cases)) {
    test(name, async () => {
      const subject = await create();
      try {
        await body(subject);
      } finally {
        await subject.stop();
      }
    });
  }
}

/** The error with that code that `action`, or the promise, ends with. */
export async function failure(code: ErrorCode, action: Promise<unknown> | (() => unknown)): Promise<QuorateError> {
  let result: unknown;
  try {
    result = await (typeof action === 'function' ? action() : action);
  } catch (error) {
    assert.ok(error instanceof QuorateError, `expected a QuorateError ${code}, got ${String(error)}`);
    assert.equal(error.code, code, `${error.code}: ${error.message}`);
    return error;
  }
  assert.fail(`expected ${code}, but it succeeded with ${String(result)}`);
}
