/** What every `Names` must do, as cases for any test runner; in one process and across nodes. */
import assert from 'node:assert/strict';
import type { NodeId } from '../node-id.ts';
import type { Names } from '../protocols/coordination/names/names.ts';
import { type ConformanceOptions, declareCases, failure } from './suite.ts';

export interface NamesSubjectNode {
  readonly names: Names;
  readonly self: NodeId;
}

export interface NamesSubject {
  /** At least one; all in one mesh, in which nobody has a name. */
  readonly nodes: readonly [NamesSubjectNode, ...NamesSubjectNode[]];
  /** Must be idempotent. */
  stop(): Promise<void>;
}

export type NamesConformanceOptions = ConformanceOptions<NamesSubject>;

/** Declares all cases with `test`. */
export function namesConformance(options: NamesConformanceOptions): void {
  declareCases(options, cases);
}

const at = ({ nodes }: NamesSubject, index: number): NamesSubjectNode =>
  nodes[index % nodes.length] as NamesSubjectNode;

const cases: Readonly<Record<string, (subject: NamesSubject) => Promise<void>>> = {
  'of many who claim a name at once, one has it': async (subject) => {
    const claims = await Promise.allSettled([0, 1, 2, 3, 4, 5].map((index) => at(subject, index).names.claim('x')));
    const won = claims.flatMap((claim, index) => (claim.status === 'fulfilled' ? [{ ...claim, index }] : []));
    assert.equal(won.length, 1);
    for (const claim of claims) {
      if (claim.status === 'rejected') assert.equal(claim.reason.code, 'ALREADY_REGISTERED');
    }
    const owner = await at(subject, 1).names.owner('x');
    const winner = won[0];
    assert.ok(winner?.value.held === true && owner !== undefined);
    assert.deepEqual([owner.node, owner.token], [at(subject, winner.index).self, winner.value.token]);
  },

  'a released name goes to the next with a higher token': async (subject) => {
    const { names } = at(subject, 0);
    const first = await names.claim('x');
    const taken = await failure('ALREADY_REGISTERED', () => at(subject, 1).names.claim('x'));
    assert.equal(taken.data['node'], at(subject, 0).self);
    assert.equal(await names.release('x'), true);
    assert.equal(first.held, false);
    assert.equal(first.signal.aborted, true);
    assert.equal(await names.release('x'), false);
    const second = await at(subject, 1).names.claim('x');
    assert.ok(second.token > first.token);
    assert.equal(await names.owner('nobody'), undefined);
  },

  'a grant can be certified while it is held': async (subject) => {
    const { token } = await at(subject, 0).names.claim('x');
    const certificate = await at(subject, 1).names.certify('x', token);
    assert.ok(certificate.signatures.length > 0);
    await failure('NOT_SETTLED', () => at(subject, 1).names.certify('x', token + 1));
    await failure('NOT_SETTLED', () => at(subject, 1).names.certify('y', token));
  },

  'who stops gives back what it has': async (subject) => {
    const { names } = at(subject, 0);
    const claims = [await names.claim('x'), await names.claim('y')];
    await names.stop();
    assert.deepEqual(
      claims.map(({ held }) => held),
      [false, false],
    );
    await failure('STOPPED', () => names.claim('x'));
    if (subject.nodes.length > 1) assert.equal((await at(subject, 1).names.claim('x')).held, true);
  },
};
