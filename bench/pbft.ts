/**
 * Commands ordered by validators: four replicas of which one may lie, and three of which one may crash, each a process with its
 * log on disk; the client is this process, a member that is no validator. Reference in the same run, in rounds taken in turns: three members of etcd
 * (Debian's `etcd-server`), which survive a crash and no lie, and encrypt and sign nothing.
 *
 *   npm run bench -- pbft [--json] [-- --rounds 3 --commands 1000 --seconds 2]
 */
import { tmpdir } from 'node:os';
import { benchArguments, quantile, report } from './harness.ts';
import { type EtcdFigures, measureEtcd } from './pbft/etcd.ts';
import { Load } from './pbft/load.ts';

const { json, rounds, commands, seconds } = benchArguments({ rounds: 3, commands: 1_000, seconds: 2 });
/** Ours and etcd's members write to the same file system. */
const directory = tmpdir();

const median = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null);
  return known.length < values.length ? null : quantile(known, 0.5);
};

interface Round {
  readonly p50: number | null;
  readonly p99: number | null;
  readonly perSec64: number;
  readonly perSec256: number;
}

async function round(load: Load, warmUp: number): Promise<Round> {
  await load.lone(Math.ceil(commands * warmUp));
  const lone = await load.lone(commands);
  await load.perSecond(64, seconds * warmUp);
  const perSec64 = await load.perSecond(64, seconds);
  const perSec256 = await load.perSecond(256, seconds);
  return { p50: quantile(lone, 0.5), p99: quantile(lone, 0.99), perSec64, perSec256 };
}

const four: Round[] = [];
const three: Round[] = [];
const etcd: EtcdFigures[] = [];
const viewChanges: number[] = [];

async function measure(into: Round[], replicas: number, f: number, kills: number): Promise<void> {
  const load = await Load.start(directory, replicas, f);
  try {
    into.push(await round(load, 0.2));
    for (let kill = 0; kill < kills; kill++) viewChanges.push(await load.killPrimary());
  } finally {
    await load.stop();
  }
}

for (let at = 0; at < rounds; at++) {
  await measure(four, 4, 1, 1);
  etcd.push(await measureEtcd({ directory, puts: commands, rounds: 1, seconds, kills: 1 }));
  await measure(three, 3, 0, 0);
}

report(
  'pbft: four replicas (f = 1), three (f = 0) and three members of etcd, a process each, synced to disk',
  {
    replicas: 4,
    f: 1,
    durable: 1,
    commitP50Ms: median(four.map(({ p50 }) => p50)),
    commitP99Ms: median(four.map(({ p99 }) => p99)),
    opsPerSec64: median(four.map(({ perSec64 }) => perSec64)),
    opsPerSec256: median(four.map(({ perSec256 }) => perSec256)),
    viewChangeMs: median(viewChanges),
    crash3CommitP50Ms: median(three.map(({ p50 }) => p50)),
    crash3OpsPerSec64: median(three.map(({ perSec64 }) => perSec64)),
    etcdPutP50Ms: median(etcd.map(({ etcdPutP50Ms }) => etcdPutP50Ms)),
    etcdOpsPerSec64: median(etcd.map(({ etcdOpsPerSec64 }) => etcdOpsPerSec64)),
    etcdLeaderKilledMs: median(etcd.map(({ etcdLeaderKilledMs }) => etcdLeaderKilledMs)),
  },
  json,
);
process.exit(0);
