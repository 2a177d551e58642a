/**
 * Histories that did happen: an object executes operations one after the other, each at an instant, and what clients record is that
 * they asked some time before and heard some time after, or never heard. The objects are written without the models.
 */
import fc from 'fast-check';
import type { Operation } from './history.ts';
import type { LockInput, LockOutput } from './models/lock.ts';
import type { NameInput, NameOutput } from './models/name.ts';
import type { RegisterInput, RegisterOutput } from './models/register.ts';

/** An object, and what may be asked of it and answered. */
export interface Subject<Input, Output> {
  /** A new object: executes `input` at `time`. */
  start(): (input: Input, time: number) => Output;
  readonly input: fc.Arbitrary<Input>;
  /** Any answer to `input`, right or wrong. */
  output(input: Input): fc.Arbitrary<Output>;
}

export interface Planned<Input> {
  readonly input: Input;
  /** Between this execution and the one before. */
  readonly gap: number;
  readonly askedBefore: number;
  readonly heardAfter: number;
  /** `lost`: executed, and nobody heard. `dropped`: not executed, and nobody knows. `refused`: not executed. */
  readonly fate: 'heard' | 'lost' | 'dropped' | 'refused';
}

/** `heard`: how often operations are heard of, to three that are not. */
export function planned<Input>(input: fc.Arbitrary<Input>, heard = 8): fc.Arbitrary<Planned<Input>> {
  return fc.record({
    input,
    gap: fc.integer({ min: 0, max: 10 }),
    askedBefore: fc.integer({ min: 0, max: 30 }),
    heardAfter: fc.integer({ min: 0, max: 30 }),
    fate: fc.oneof(
      { weight: heard, arbitrary: fc.constant('heard' as const) },
      { weight: 3, arbitrary: fc.constantFrom('lost' as const, 'dropped' as const, 'refused' as const) },
    ),
  });
}

export function trueRun<Input, Output>(
  subject: Pick<Subject<Input, Output>, 'start'>,
  plans: readonly Planned<Input>[],
): Operation<Input, Output>[] {
  const execute = subject.start();
  let time = 0;
  return plans.map(({ input, gap, askedBefore, heardAfter, fate }, i) => {
    time += gap;
    const output = fate === 'heard' || fate === 'lost' ? execute(input, time) : undefined;
    const at = time + heardAfter;
    const common = { process: `p${i}`, key: 'x', input, invokedAt: time - askedBefore };
    if (fate === 'refused') return { ...common, outcome: { kind: 'failed', at } };
    if (output === undefined || fate === 'lost') return { ...common, outcome: { kind: 'info', at } };
    return { ...common, outcome: { kind: 'ok', output, at } };
  });
}

const value = fc.constantFrom('a', 'b', null);
const version = fc.integer({ min: 0, max: 5 });

export const register: Subject<RegisterInput, RegisterOutput> = {
  start() {
    let held: string | null = null;
    let writes = 0;
    return (input) => {
      if (input.type === 'read') return { type: 'read', value: held, version: writes };
      if (input.type === 'cas') {
        const { expected } = input;
        const same = expected.value === undefined || expected.value === held;
        const current = expected.version === undefined || expected.version === writes;
        if (!same || !current) return { type: 'cas', swapped: false, value: held, version: writes };
      }
      held = input.value;
      writes++;
      return input.type === 'cas'
        ? { type: 'cas', swapped: true, version: writes }
        : { type: 'write', version: writes };
    };
  },
  input: fc.oneof(
    fc.constant({ type: 'read' } as const),
    fc.record({ type: fc.constant('write' as const), value }),
    fc.record({ type: fc.constant('cas' as const), expected: fc.record({ value }), value }),
    fc.record({ type: fc.constant('cas' as const), expected: fc.record({ version }), value }),
  ),
  output(input) {
    if (input.type === 'read') return fc.record({ type: fc.constant('read' as const), value, version });
    if (input.type === 'write') return fc.record({ type: fc.constant('write' as const), version });
    return fc.oneof(
      fc.record({ type: fc.constant('cas' as const), swapped: fc.constant(true as const), version }),
      fc.record({ type: fc.constant('cas' as const), swapped: fc.constant(false as const), version, value }),
    );
  },
};

/** The same register where nobody is told versions. */
export const plainRegister: Subject<RegisterInput, RegisterOutput> = {
  start() {
    const execute = register.start();
    return (input, time) => withoutVersion(execute(input, time));
  },
  input: register.input.filter((input) => input.type !== 'cas' || input.expected.version === undefined),
  output: (input) => register.output(input).map(withoutVersion),
};

function withoutVersion(output: RegisterOutput): RegisterOutput {
  const { version: _, ...rest } = output;
  return rest;
}

const owner = fc.constantFrom('a', 'b', 'c');
const token = fc.integer({ min: 1, max: 6 });
const leaseMs = fc.constantFrom(5, 20, 100);

export const lock: Subject<LockInput, LockOutput> = {
  start() {
    let tokens = 0;
    let holder: { owner: string; token: number; until: number } | undefined;
    return (input, time) => {
      if (holder !== undefined && time >= holder.until) holder = undefined;
      const until = time + ('leaseMs' in input ? (input.leaseMs ?? Infinity) : Infinity);
      if (input.type === 'holder') {
        return holder === undefined
          ? { type: 'holder', owner: null }
          : { type: 'holder', owner: holder.owner, token: holder.token };
      }
      if (input.type === 'acquire') {
        if (holder !== undefined) return { type: 'acquire', granted: false };
        tokens += tokens % 2 === 0 ? 1 : 2;
        holder = { owner: input.owner, token: tokens, until };
        return { type: 'acquire', granted: true, token: tokens };
      }
      const holds = holder?.owner === input.owner && (input.token === undefined || input.token === holder.token);
      if (input.type === 'renew') {
        if (holds) holder = { ...holder!, until };
        return { type: 'renew', renewed: holds };
      }
      if (holds) holder = undefined;
      return { type: 'release', released: holds };
    };
  },
  input: fc.oneof(
    fc.constant({ type: 'holder' } as const),
    { weight: 3, arbitrary: fc.record({ type: fc.constant('acquire' as const), owner, leaseMs }) },
    fc.record({ type: fc.constant('acquire' as const), owner }),
    fc.record({ type: fc.constant('renew' as const), owner, token, leaseMs }),
    fc.record({ type: fc.constant('release' as const), owner, token }),
    { weight: 2, arbitrary: fc.record({ type: fc.constant('release' as const), owner }) },
  ),
  output(input) {
    if (input.type === 'acquire') {
      return fc.oneof(
        fc.record({ type: fc.constant('acquire' as const), granted: fc.constant(true as const), token }),
        fc.constant({ type: 'acquire', granted: false } as const),
      );
    }
    if (input.type === 'renew') return fc.record({ type: fc.constant('renew' as const), renewed: fc.boolean() });
    if (input.type === 'release') return fc.record({ type: fc.constant('release' as const), released: fc.boolean() });
    return fc.oneof(
      fc.constant({ type: 'holder', owner: null } as const),
      fc.record({ type: fc.constant('holder' as const), owner, token }),
    );
  },
};

export const name: Subject<NameInput, NameOutput> = {
  start() {
    let holder: string | null = null;
    let tokens = 0;
    return (input) => {
      if (input.type === 'lookup') return { type: 'lookup', owner: holder };
      if (input.type === 'release') {
        const released = holder === input.owner;
        if (released) holder = null;
        return { type: 'release', released };
      }
      if (holder !== null) return { type: 'claim', claimed: false, holder };
      holder = input.owner;
      return { type: 'claim', claimed: true, token: ++tokens };
    };
  },
  input: fc.oneof(
    fc.constant({ type: 'lookup' } as const),
    fc.record({ type: fc.constant('claim' as const), owner }),
    fc.record({ type: fc.constant('release' as const), owner }),
  ),
  output(input) {
    if (input.type === 'release') return fc.record({ type: fc.constant('release' as const), released: fc.boolean() });
    if (input.type === 'lookup') {
      return fc.record({ type: fc.constant('lookup' as const), owner: fc.oneof(owner, fc.constant(null)) });
    }
    return fc.oneof(
      fc.record({ type: fc.constant('claim' as const), claimed: fc.constant(true as const), token }),
      fc.record({ type: fc.constant('claim' as const), claimed: fc.constant(false as const), holder: owner }),
    );
  },
};
