import { describe, expect, test } from 'vitest';
import { createIdentity } from '../../../../src/identity.ts';
import { NameClaims } from '../../../../src/protocols/coordination/names/name-claims.ts';
import { NamesReducer } from '../../../../src/protocols/coordination/names/reducer.ts';
import type { CoordinationTools } from '../../../../src/protocols/coordination/tools.ts';
import { localNode, SharedOrder, settle } from '../local-tools.ts';

function subject() {
  const shared = new SharedOrder([new NamesReducer()]);
  const [one, two] = [shared.node(), shared.node()] as [CoordinationTools, CoordinationTools];
  return { shared, one, two, a: new NameClaims(one), b: new NameClaims(two) };
}

const lost = (reason: string) =>
  expect.objectContaining({ code: 'GRANT_LOST', data: expect.objectContaining({ reason }) });

describe('a name', () => {
  test('belongs to one node until it is released, and its token rises from owner to owner', async () => {
    const { a, b, one, two } = subject();
    const first = await a.claim('billing');
    expect(first.held).toBe(true);
    await expect(b.claim('billing')).rejects.toMatchObject({
      code: 'ALREADY_REGISTERED',
      data: { id: 'billing', node: one.self, token: first.token },
    });
    await expect(a.claim('billing')).rejects.toMatchObject({ code: 'ALREADY_REGISTERED', data: { node: one.self } });
    expect(await a.release('billing')).toBe(true);
    expect(await a.release('billing')).toBe(false);
    expect(first.held).toBe(false);
    expect(first.signal.reason).toEqual(lost('released'));
    const second = await b.claim('billing');
    expect(second.token).toBeGreaterThan(first.token);
    expect(await a.owner('billing')).toMatchObject({ node: two.self, token: second.token });
    expect(await a.owner('nobody')).toBeUndefined();
  });

  test('stays with a node that lives, however long', async () => {
    const { shared, a, b } = subject();
    const claims = await Promise.all(['x', 'y', 'z'].map((id) => a.claim(id)));
    await shared.clock.advance(600_000);
    shared.tick();
    expect(claims.every(({ held }) => held)).toBe(true);
    await expect(b.claim('y')).rejects.toMatchObject({ code: 'ALREADY_REGISTERED' });
  });

  test('of a node that fell silent is free when its lease ends, and not before its owner knows', async () => {
    const { shared, one, a, b } = subject();
    const claim = await a.claim('billing');
    for (let n = 0; n < 10_000; n++) shared.fail(one.self, 'before');
    let free = false;
    claim.signal.addEventListener('abort', () => {
      free = true;
    });
    for (let second = 0; second < 31; second++) {
      await shared.clock.advance(1_000);
      shared.tick();
      const taken = await b.claim('billing').then(
        ({ token }) => token > claim.token,
        () => false,
      );
      if (taken) break;
      if (second >= 30) throw new Error('the lease never ended');
    }
    expect(free).toBe(true);
    expect(claim.signal.reason).toEqual(lost('lease-ended'));
  });

  test('is known to be lost by a process that stood still, before its timers fire', async () => {
    const { shared, a } = subject();
    const claim = await a.claim('billing');
    shared.clock.sleep(25_000);
    expect(claim.signal.aborted).toBe(false);
    expect(claim.held).toBe(false);
    expect(claim.signal.reason).toEqual(lost('lease-ended'));
  });

  test('is lost by this clock five seconds before it is for the validators: so far agreed time may jump', async () => {
    const { shared, one, two, a } = subject();
    const claim = await a.claim('billing');
    for (let n = 0; n < 10_000; n++) shared.fail(one.self, 'before');
    await shared.clock.advance(22_000);
    expect(claim.held).toBe(true);
    shared.clock.jumpWall(5_000);
    shared.tick();
    await expect(new NameClaims(two).claim('billing')).rejects.toMatchObject({ code: 'ALREADY_REGISTERED' });
    expect(claim.held).toBe(false);
  });

  test('can be claimed anew by a process that came back with the same key, and the old one is done', async () => {
    const shared = new SharedOrder([new NamesReducer()]);
    const identity = createIdentity();
    const old = await new NameClaims(shared.node(identity)).claim('billing');
    const again = new NameClaims(shared.node(identity));
    const claim = await again.claim('billing');
    expect(claim.token).toBeGreaterThan(old.token);
    await shared.clock.advance(60_000);
    expect(old.signal.reason).toEqual(lost('unknown'));
    expect(claim.held).toBe(true);
  });
});

describe('when nobody knows what became of a command', () => {
  test('a claim is tried again, and granted once', async () => {
    const { shared, one, a } = subject();
    shared.fail(one.self, 'after', 'after', 'later');
    const claim = a.claim('billing');
    await shared.clock.advance(1_000);
    expect(await a.owner('billing')).toMatchObject({ token: (await claim).token });
    shared.runLate();
    expect(await a.owner('billing')).toMatchObject({ token: (await claim).token });
  });

  test('a name that was granted to nobody is given back', async () => {
    const { shared, one, a, b } = subject();
    await a.claim('kept');
    shared.fail(one.self, 'later');
    const claim = a.claim('billing', { timeoutMs: 20 });
    await expect(claim).rejects.toMatchObject({ code: 'UNKNOWN_OUTCOME' });
    shared.runLate();
    await expect(b.claim('billing')).rejects.toMatchObject({ code: 'ALREADY_REGISTERED' });
    await shared.clock.advance(11_000);
    expect(await b.claim('billing')).toMatchObject({ held: true });
    expect(await a.owner('kept')).toMatchObject({ node: one.self });
  });

  test('a release that comes late frees nothing that was claimed since', async () => {
    const { shared, one, a } = subject();
    await a.claim('billing');
    shared.fail(one.self, 'later');
    await expect(a.release('billing')).rejects.toMatchObject({ code: 'UNKNOWN_OUTCOME' });
    const claim = await a.claim('billing');
    shared.runLate();
    expect(await a.owner('billing')).toMatchObject({ token: claim.token });
  });

  test('a release that failed is made up for', async () => {
    const { shared, one, a, b } = subject();
    await a.claim('kept');
    await a.claim('billing');
    shared.fail(one.self, 'before');
    await expect(a.release('billing')).rejects.toMatchObject({ code: 'NO_QUORUM' });
    await shared.clock.advance(11_000);
    expect(await b.claim('billing')).toMatchObject({ held: true });
  });
});

test('stopping gives everything back, and leaves no timer', async () => {
  const { shared, a, b } = subject();
  const claims = await Promise.all(['x', 'y'].map((id) => a.claim(id)));
  await a.stop();
  expect(claims.map(({ held }) => held)).toEqual([false, false]);
  expect(shared.clock.timers).toBe(0);
  await b.claim('x');
  await expect(a.claim('z')).rejects.toMatchObject({ code: 'STOPPED' });
});

test('a node without names costs nothing', async () => {
  const { shared, a } = subject();
  await a.claim('x');
  await a.release('x');
  await shared.clock.advance(20_000);
  await settle();
  expect(shared.clock.timers).toBe(0);
});

test('alone in a process it is the same', async () => {
  const node = localNode([new NamesReducer()]);
  const names = new NameClaims(node.tools);
  const claim = await names.claim('billing');
  await node.clock.advance(120_000);
  expect(claim.held).toBe(true);
  expect(await names.certify('billing', claim.token)).toMatchObject({ epoch: 0 });
  await expect(names.certify('billing', claim.token + 1)).rejects.toMatchObject({ code: 'NOT_SETTLED' });
  await expect(names.claim('')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await names.stop();
});
