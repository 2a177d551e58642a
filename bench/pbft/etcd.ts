/**
 * The reference of the benchmark `pbft`: an etcd cluster of three members on this machine (Debian's `etcd-server`),
 * measured from one Node process. It survives one crash, as four of our replicas do, and no lie; it encrypts and signs nothing.
 * By itself:
 *
 *   node bench/pbft/etcd.ts [--json] [--puts 1000 --rounds 3 --seconds 2 --kills 3]
 */
import { tmpdir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { benchArguments, quantile, report } from '../harness.ts';
import type { EtcdClient } from './etcd-client.ts';
import { EtcdCluster, etcdVersion } from './etcd-cluster.ts';

export interface EtcdFigures extends Readonly<Record<string, number | null>> {
  /** One writer, one put after the other, to the leader. */
  readonly etcdPutP50Ms: number | null;
  readonly etcdPutP99Ms: number | null;
  /** 64 writers in one process, to the leader. */
  readonly etcdOpsPerSec64: number | null;
  /** From SIGKILL of the leader to the first put that another member accepted; median. */
  readonly etcdLeaderKilledMs: number | null;
}

export interface EtcdMeasurement {
  /** Where the members' directories are made: on the file system that ours write to as well. Default: the system's temporary directory. */
  readonly directory?: string;
  /** Bytes of each value; keys have 12. Default 100. */
  readonly valueBytes?: number;
  /** Lone puts, after a fifth as many that are not counted. Default 1000. */
  readonly puts?: number;
  /** Rounds of 64 writers, after one that is not counted; the median counts. Default 3. */
  readonly rounds?: number;
  /** Length of such a round. Default 2. */
  readonly seconds?: number;
  /** How many times the leader is killed. Default 3. */
  readonly kills?: number;
}

/** Nulls, and a line on standard error, where etcd is not installed. Leaves neither process nor directory behind. */
export async function measureEtcd(options: EtcdMeasurement = {}): Promise<EtcdFigures> {
  if (etcdVersion() === undefined) {
    console.error("etcd is not installed (Debian's etcd-server): its figures are left out.");
    return { etcdPutP50Ms: null, etcdPutP99Ms: null, etcdOpsPerSec64: null, etcdLeaderKilledMs: null };
  }
  const { directory = tmpdir(), valueBytes = 100, puts = 1_000, rounds = 3, seconds = 2, kills = 3 } = options;
  const value = Buffer.alloc(valueBytes, 'v');
  const cluster = await EtcdCluster.start(directory);
  try {
    await lonePuts(cluster, value, Math.ceil(puts / 5));
    const lone = await lonePuts(cluster, value, puts);
    const rates: number[] = [];
    for (let round = 0; round <= rounds; round++) rates.push(await putsPerSecond(cluster, value, 64, seconds));
    const gaps: number[] = [];
    for (let kill = 0; kill < kills; kill++) gaps.push(await killLeader(cluster, value));
    return {
      etcdPutP50Ms: quantile(lone, 0.5),
      etcdPutP99Ms: quantile(lone, 0.99),
      etcdOpsPerSec64: quantile(rates.slice(1), 0.5),
      etcdLeaderKilledMs: quantile(gaps, 0.5),
    };
  } finally {
    await cluster.stop();
  }
}

const keys = Array.from({ length: 1_000 }, (_, at) => Buffer.from(`bench/${String(at).padStart(6, '0')}`));
const keyOf = (put: number): Uint8Array => keys[put % keys.length] ?? Buffer.from('bench');

/** Milliseconds of each put, one after the other. */
async function lonePuts(cluster: EtcdCluster, value: Uint8Array, count: number): Promise<number[]> {
  const { client } = await cluster.leader();
  const samples: number[] = [];
  for (let put = 0; put < count; put++) {
    const begin = performance.now();
    await client.put(keyOf(put), value);
    samples.push(performance.now() - begin);
  }
  return samples;
}

async function putsPerSecond(
  cluster: EtcdCluster,
  value: Uint8Array,
  writers: number,
  seconds: number,
): Promise<number> {
  const { client } = await cluster.leader();
  const begin = performance.now();
  let done = 0;
  const write = async (): Promise<void> => {
    do {
      await client.put(keyOf(done), value);
      done++;
    } while (performance.now() - begin < seconds * 1e3);
  };
  await Promise.all(Array.from({ length: writers }, write));
  return done / ((performance.now() - begin) / 1e3);
}

/**
 * Kills the leader while one writer writes to it; resolves with the milliseconds until a survivor has accepted a put,
 * once the killed member is back.
 */
async function killLeader(cluster: EtcdCluster, value: Uint8Array): Promise<number> {
  const leader = await cluster.leader();
  const survivors = cluster.members.filter((member) => member !== leader).map((member) => member.client);
  const kill = delay(300).then(() => {
    const at = performance.now();
    leader.kill();
    return at;
  });
  const refusal = await untilRefused(leader.client, value);
  const refusedAt = performance.now();
  const killedAt = await kill;
  if (refusedAt < killedAt) throw new Error('The leader refused a put before it was killed.', { cause: refusal });
  await untilAccepted(survivors, value);
  const elapsed = performance.now() - killedAt;
  await leader.ended();
  leader.start();
  await cluster.leader();
  return elapsed;
}

async function untilRefused(client: EtcdClient, value: Uint8Array): Promise<unknown> {
  for (let put = 0; ; put++) {
    try {
      await client.put(keyOf(put), value);
    } catch (error) {
      return error;
    }
  }
}

/** In turns and with short patience: a survivor may hold a put back, or have sent it on to the dead leader. */
async function untilAccepted(clients: readonly EtcdClient[], value: Uint8Array): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (let attempt = 0; ; attempt++) {
    try {
      return await clients[attempt % clients.length]?.put(keyOf(attempt), value, 100);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(5); // A refusal can come at once.
    }
  }
}

if (import.meta.main) {
  const { json, ...options } = benchArguments({ puts: 1_000, rounds: 3, seconds: 2, kills: 3 });
  const begin = performance.now();
  const figures = await measureEtcd(options);
  console.log(`etcd ${etcdVersion() ?? 'not installed'}; took ${((performance.now() - begin) / 1e3).toFixed(1)} s`);
  report('etcd: three members, synced to disk, 100-byte values', figures, json);
}
