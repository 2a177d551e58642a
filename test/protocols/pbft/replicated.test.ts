import { describe, expect, it } from 'vitest';
import {
  type Application,
  type CommandContext,
  FatalApplicationError,
} from '../../../src/protocols/pbft/application.ts';
import { defaultParameters, foundingGroup } from '../../../src/protocols/pbft/group.ts';
import type { Batch, Operation, Request } from '../../../src/protocols/pbft/messages.ts';
import { decodeOutcome } from '../../../src/protocols/pbft/outcome.ts';
import { createReplicated, executeBatch, type Replicated } from '../../../src/protocols/pbft/replicated.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';

const none = new Uint8Array();
const validators = [1, 2, 3, 4].map(nodeNumber);
const client = nodeNumber(9);

function replicated(apply: (context: CommandContext) => Uint8Array): Replicated {
  const application: Application = {
    apply: (_, context) => apply(context),
    query: () => none,
    snapshot: () => none,
    restore: () => undefined,
  };
  return createReplicated(application, foundingGroup(validators, 1));
}

function run(state: Replicated, session: number, number: number, operation: Operation): unknown {
  const request: Request = {
    type: 'request',
    client,
    session,
    number,
    acknowledged: 0,
    operation,
    signature: none,
    bytes: none,
  };
  const batch: Batch = { time: 5, requests: [request], digest: '00', bytes: none };
  const [executed] = executeBatch(state, batch, defaultParameters);
  return executed && decodeOutcome(executed.result);
}

function open(state: Replicated): number {
  const outcome = run(state, 0, 1, { kind: 'open' }) as { readonly session?: number };
  return outcome.session ?? 0;
}

const command: Operation = { kind: 'commands', commands: [none] };

describe('the application', () => {
  it('is told who decides at this sequence', () => {
    let seen: CommandContext | undefined;
    const state = replicated((context) => {
      seen = context;
      return none;
    });
    run(state, open(state), 1, command);
    expect(seen).toEqual({ seq: 2, time: 5, client, validators });
  });

  it('that throws has failed the command, the same at every replica', () => {
    const state = replicated(() => {
      throw new Error('as asked');
    });
    expect(run(state, open(state), 1, command)).toEqual({ kind: 'done', results: [{ ok: false, reason: 'failed' }] });
  });

  it('that cannot go on stops its replica instead of answering unlike the others', () => {
    const state = replicated(() => {
      throw new FatalApplicationError('code is missing');
    });
    const session = open(state);
    expect(() => run(state, session, 1, command)).toThrow(FatalApplicationError);
  });
});
