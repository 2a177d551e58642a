/** Order by validators, over the simulated network: real drivers, links and wire; time and faults are the test's. */
import { describe, expect, test } from 'vitest';
import { isQuorateError } from '../../../../src/errors.ts';
import { CounterReducer } from '../../../../src/protocols/coordination/atoms/number-reducers.ts';
import { MachineClient } from '../../../../src/protocols/coordination/machine/machine-client.ts';
import { type GroupNode, GroupWorld } from './group-world.ts';

const reducers = () => [new CounterReducer()];
const add = (node: GroupNode, amount: number, options = {}) =>
  new MachineClient(node.ordering).submit({ kind: 'counter.add', name: 'c', amount } as never, options);
const value = (node: GroupNode, options = {}) =>
  new MachineClient(node.ordering).query({ kind: 'counter.value', name: 'c' } as never, options);

describe('a group of validators', () => {
  test('orders the commands of validators and of nodes that learnt the group', async () => {
    const group = new GroupWorld({ seed: 1, reducers });
    const nodes = await group.found();
    const client = await group.join(1);
    const { world } = group;
    await world.settled(add(nodes[0] as GroupNode, 5));
    await world.settled(add(client, 7));
    expect(await world.settled(value(nodes[3] as GroupNode))).toEqual({ ok: true, value: 12 });
    expect(await world.settled(value(client, { consistency: 'local' }))).toMatchObject({ ok: true });
    expect(client.ordering.group?.validators).toEqual([...group.founders].sort());
    expect(group.nodes.flatMap(({ misbehaved }) => misbehaved)).toEqual([]);
  });

  test('goes on when the primary is killed, and takes it back with the promises of its disk', async () => {
    const group = new GroupWorld({ seed: 2, reducers });
    const nodes = await group.found();
    const { world } = group;
    await world.settled(add(nodes[0] as GroupNode, 1));
    const [primaryId] = [...group.founders].sort();
    const primary = nodes.find(({ id }) => id === primaryId) as GroupNode;
    const others = nodes.filter((node) => node !== primary);
    world.crash(primary.network);
    const before = world.now;
    await world.settled(add(others[0] as GroupNode, 10));
    expect(world.now - before).toBeLessThan(2_000);
    const again = await group.start(primary.identity, { founder: true, disk: primary.disk });
    await world.settled(add(again, 100));
    expect(await world.settled(value(others[1] as GroupNode))).toEqual({ ok: true, value: 111 });
    await world.until(
      () => again.ordering.validator?.status().view === others[0]?.ordering.validator?.status().view,
      20_000,
    );
    expect(again.ordering.validator?.status().executed).toBe(others[0]?.ordering.validator?.status().executed);
  });

  test('without a quorum says which validators are missing, within the deadline', async () => {
    const group = new GroupWorld({ seed: 3, reducers });
    const nodes = await group.found();
    const { world } = group;
    await world.settled(add(nodes[0] as GroupNode, 1));
    for (const dead of nodes.slice(2)) world.crash(dead.network);
    const failure = await world.settled(
      add(nodes[0] as GroupNode, 1, { timeoutMs: 3_000 }).catch((error: unknown) => error),
    );
    if (!isQuorateError(failure, 'UNKNOWN_OUTCOME')) throw failure;
    expect([...(failure.data['silent'] as string[])].sort()).toEqual(
      expect.arrayContaining(nodes.slice(2).map(({ id }) => id)),
    );
    const reading = value(nodes[0] as GroupNode, { timeoutMs: 3_000 }).catch((error: unknown) => error);
    const unread = await world.settled(reading);
    if (!isQuorateError(unread, 'NO_QUORUM')) throw unread; // A read changes nothing, so its outcome is never unknown.
    const fresh = await group.join(2, { founders: { validators: group.founders, f: 1 } });
    const unsent = await world.settled(add(fresh, 1, { timeoutMs: 2_000 }).catch((error: unknown) => error));
    expect(isQuorateError(unsent, 'NO_QUORUM')).toBe(true);
  });

  test('validators are replaced at run time; a newcomer learns of it with proof', async () => {
    const group = new GroupWorld({ seed: 4, reducers, trustChanges: true });
    const nodes = await group.found();
    const { world } = group;
    const first = await group.join(5);
    await world.settled(add(first, 3));
    const wanted = [...group.founders.slice(1), first.id];
    await world.settled((nodes[1] as GroupNode).ordering.reconfigure(wanted, 1));
    await world.until(() => first.ordering.validator?.group.epoch === 1, 60_000);
    expect(first.ordering.validator?.group.validators).toEqual(wanted);
    const later = await group.join(6);
    await world.settled(add(later, 4));
    expect(await world.settled(value(later))).toEqual({ ok: true, value: 7 });
    await world.until(() => later.ordering.group?.epoch === 1, 60_000);
  });

  test('nobody knows of validators: an error that says so, at the deadline', async () => {
    const group = new GroupWorld({ seed: 5, reducers });
    const alone = await group.join(1);
    const failure = await group.world.settled(add(alone, 1, { timeoutMs: 500 }).catch((error: unknown) => error));
    expect(isQuorateError(failure, 'NO_VALIDATORS')).toBe(true);
  });
});

describe('a node that was away while all validators were replaced', () => {
  test('hears from any peer who rules now, with proof', async () => {
    const group = new GroupWorld({ seed: 6, reducers, validators: 1, f: 0, trustChanges: true });
    const [founder] = await group.found();
    const { world } = group;
    const heir = await group.join(1);
    await world.settled(add(heir, 3));
    await world.settled((founder as GroupNode).ordering.reconfigure([heir.id], 0));
    await world.until(() => heir.ordering.validator?.group.epoch === 1, 60_000);
    await world.settled(add(heir, 4));
    world.crash((founder as GroupNode).network);
    // It was told of the founder only, who is gone.
    const late = await group.join(2, { founders: { validators: group.founders, f: 0 } });
    expect(await world.settled(value(late))).toEqual({ ok: true, value: 7 });
  });
});

describe('a group without any of its founders', () => {
  test('starts again when all of it was stopped', async () => {
    const group = new GroupWorld({ seed: 7, reducers, validators: 1, f: 0, trustChanges: true });
    const [founder] = await group.found();
    const { world } = group;
    const heir = await group.join(1);
    await world.settled(add(heir, 3));
    await world.settled((founder as GroupNode).ordering.reconfigure([heir.id], 0));
    await world.until(() => heir.ordering.validator?.group.epoch === 1, 60_000);
    await world.settled(add(heir, 4));
    // The validator's own client knows at once who rules.
    await world.until(() => heir.ordering.group?.epoch === 1, 1_000);
    world.crash((founder as GroupNode).network);
    world.crash(heir.network);
    const options = { founders: { validators: group.founders, f: 0 } };
    const again = await group.start(heir.identity, { disk: heir.disk, options });
    expect(again.ordering.group?.epoch).toBe(1);
    expect(await world.settled(value(again))).toEqual({ ok: true, value: 7 });
  });
});
