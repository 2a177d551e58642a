/** Agreed values of several nodes: entries in virtual time, agreements over one order. */
import { expect, it } from 'vitest';
import { HybridClock } from '../../../src/hlc.ts';
import { MachineAtoms } from '../../../src/protocols/coordination/atoms/machine-atoms.ts';
import { MapReducer } from '../../../src/protocols/coordination/atoms/map-reducer.ts';
import { MapAgreements } from '../../../src/protocols/variables/agreed/map-agreements.ts';
import { Fleet, type FleetNode } from '../../simulation/variables/fleet.ts';
import { SharedOrder, settle } from '../coordination/local-tools.ts';

const options = { min: 0, max: 100, default: 10 } as const;

class Meshes {
  readonly fleet = new Fleet({ seed: 1 });
  readonly #order = new SharedOrder([new MapReducer()]);
  /** Names that were asked for at the validators. */
  readonly followed: string[] = [];

  join(): FleetNode {
    const { clock } = this.fleet.world.time;
    const agreements = new MapAgreements({
      coordination: new MachineAtoms(this.#order.node()),
      clock,
      hlc: new HybridClock(clock.wallNow),
      onError: (error) => {
        throw error;
      },
    });
    const follow = agreements.follow.bind(agreements);
    agreements.follow = (name, listener) => {
      this.followed.push(name);
      return follow(name, listener);
    };
    return this.fleet.join('default', { agreements });
  }

  async settle(): Promise<void> {
    await settle();
    await this.fleet.run(100);
    await settle();
  }
}

it('nobody asks the validators before somebody has agreed; then all do, and newcomers too when the first has gone', async () => {
  const meshes = new Meshes();
  const [one, two] = [meshes.join(), meshes.join()];
  const [first, second] = [one, two].map(({ variables }) => variables.integer('quota', options));
  await first?.set(50);
  await meshes.settle();
  expect(meshes.followed).toEqual([]);
  await first?.coordinate({ consistency: 'strong', value: 70 });
  await meshes.settle();
  expect([first?.value, second?.value]).toEqual([70, 70]);
  expect(meshes.followed).toEqual(['quota', 'quota']);
  meshes.fleet.world.kill(one.shared);
  await meshes.fleet.run(1_000);
  const late = meshes.join().variables.integer('quota', options);
  await meshes.settle();
  expect([late.value, late.agreed?.value, late.explain().source]).toEqual([70, 70, 'agreed']);
});

it('what was agreed on under another definition is void, that of an older version is translated', async () => {
  const meshes = new Meshes();
  const [one, two] = [meshes.join(), meshes.join()];
  const percent = one.variables.integer('share', { ...options, sync: 'strong' });
  await percent.set(40);
  const next = two.variables.float('share', {
    min: 0,
    max: 1,
    default: 0.5,
    version: 2,
    sync: 'strong',
    migrate: (value) => Number(value) / 100,
  });
  await meshes.settle();
  expect(next.value).toBe(0.4);
  await next.set(0.6);
  await meshes.settle();
  // Not what version 1 can read.
  expect([next.value, percent.value, percent.agreed]).toEqual([0.6, 10, undefined]);
});

it('after being disposed of nothing is heard, and nothing is hinted at', async () => {
  const meshes = new Meshes();
  const one = meshes.join();
  const variable = one.variables.integer('quota', options);
  await variable.coordinate({ consistency: 'strong', value: 70 });
  expect([...one.shared.keys()].sort()).toEqual(['a/quota', 'd/quota']);
  variable[Symbol.dispose]();
  expect([...one.shared.keys()]).toEqual([]);
  expect(variable.value).toBe(70);
});
