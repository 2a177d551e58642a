/**
 * `quorate doctor`, as the node itself sees it: what it stands on (Node.js, data directory, clock, event
 * loop), whom it reaches and what it refused. Each check says what it found and, where that is not well,
 * what to do.
 */
import { readdirSync, type Stats, statSync } from 'node:fs';
import { connect } from 'node:net';
import type { QuorateError } from '../errors.ts';
import type { Mesh } from '../mesh.ts';
import type { MeshOptions } from '../options.ts';
import { isRunning } from './directory.ts';
import type { Diagnosis } from './finding.ts';
import { diagnoseTuning } from './tuning-diagnosis.ts';

/** What the node knows of itself and no status says: how it was started, and which addresses failed last. */
export interface DiagnosisFacts {
  readonly options: Pick<MeshOptions, 'bootstrap' | 'dataDir'>;
  readonly joinFailures: ReadonlyMap<string, QuorateError>;
}

const dialTimeoutMs = 3_000;

export async function diagnose(mesh: Mesh, facts: DiagnosisFacts, signal: AbortSignal): Promise<Diagnosis[]> {
  const { bootstrap = [], dataDir } = facts.options;
  return [
    checkNodeVersion(process.versions.node),
    ...(dataDir === undefined ? [identityNote(mesh)] : checkDataDir(dataDir)),
    checkClock(mesh),
    checkEventLoop(mesh),
    checkListening(mesh),
    ...(await Promise.all(bootstrap.map((address) => checkBootstrap(mesh, address, facts, signal)))),
    checkMembers(mesh),
    checkFeeds(mesh),
    checkRefusals(mesh),
    ...diagnoseTuning(mesh.status(), mesh.variables.announced()),
  ];
}

export function checkNodeVersion(version: string): Diagnosis {
  const good = Number(version.split('.')[0]) >= 22;
  const found = `Node.js ${version}`;
  if (good) return { check: 'node', level: 'ok', found };
  return { check: 'node', level: 'fail', found, advice: 'Use Node.js 22 or newer; libp2p needs it.' };
}

function identityNote(mesh: Mesh): Diagnosis {
  const found =
    mesh.status().mode === 'local'
      ? 'one process: no identity to keep'
      : 'no data directory is known: a new identity at each start, or one that the application keeps';
  return { check: 'data', level: 'ok', found };
}

/** The directory and every key in it belong to this user alone. */
export function checkDataDir(directory: string): Diagnosis[] {
  const found = tryStat(directory);
  if (found === undefined || !found.isDirectory()) {
    const advice = 'Create it, or name another with --data-dir.';
    return [{ check: 'data', level: 'fail', found: `${directory} is no directory that can be read`, advice }];
  }
  const open = (found.mode & 0o022) !== 0;
  const first: Diagnosis = open
    ? { check: 'data', level: 'warn', found: `others can write to ${directory}`, advice: `chmod 700 ${directory}` }
    : { check: 'data', level: 'ok', found: `${directory} belongs to this user` };
  return [first, checkLock(directory), checkKey(`${directory}/node.key`)];
}

/** Who holds the directory: files `lock-<pid>-…` name the processes. */
function checkLock(directory: string): Diagnosis {
  const pids = readdirSync(directory).flatMap((name) => /^lock-(\d{1,10})-/.exec(name)?.[1] ?? []);
  const living = pids.filter((pid) => isRunning(Number(pid)));
  const found =
    living.length > 0
      ? `in use by process ${living.join(', ')}`
      : pids.length > 0
        ? `process ${pids.join(', ')} held it and is gone; the next start takes it over`
        : 'free';
  if (living.length < 2) return { check: 'lock', level: 'ok', found };
  const advice = 'Two processes with one identity contradict each other and are shut out: stop all but one.';
  return { check: 'lock', level: 'warn', found, advice };
}

function checkKey(file: string): Diagnosis {
  const found = tryStat(file);
  if (found === undefined) {
    return { check: 'key', level: 'warn', found: `there is no ${file}`, advice: 'It is made at the next start.' };
  }
  if ((found.mode & 0o077) === 0) return { check: 'key', level: 'ok', found: `only this user can read ${file}` };
  return {
    check: 'key',
    level: 'fail',
    found: `others can read ${file}, and whoever has it is this node`,
    advice: `chmod 600 ${file}; if somebody may have read it, delete it and start with a new identity`,
  };
}

function tryStat(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

/** The wall clock against the monotonic one since the start, and against what members say of their starts. */
function checkClock(mesh: Mesh): Diagnosis {
  const now = Date.now();
  const set = Math.round(now - (performance.timeOrigin + performance.now()));
  if (Math.abs(set) > 2_000) {
    const found = `the clock was set by ${set} ms since this process started`;
    return { check: 'clock', level: 'warn', found, advice: 'Let a time service (chrony, systemd-timesyncd) steer it.' };
  }
  const ahead = mesh.membership.members().filter((member) => member.startedAt > now + 5_000);
  if (ahead.length === 0) return { check: 'clock', level: 'ok', found: 'runs evenly; no member is from the future' };
  return {
    check: 'clock',
    level: 'warn',
    found: `${ahead.length} members say they started in this node's future, e.g. ${ahead[0]?.id}`,
    advice: 'Compare the clocks of the machines; earliest claims to a name win by them.',
  };
}

function checkEventLoop(mesh: Mesh): Diagnosis {
  const ms = Math.round(mesh.status().lag.eventLoopMs);
  const found = `timers fire ${ms} ms late`;
  if (ms < 100) return { check: 'event loop', level: 'ok', found };
  const advice = 'Something computes for long in this process. Move it to a worker thread, or pause in between.';
  return { check: 'event loop', level: ms < 1_000 ? 'warn' : 'fail', found, advice };
}

function checkListening(mesh: Mesh): Diagnosis {
  const { addresses, mode } = mesh.status();
  if (mode === 'local') return { check: 'port', level: 'ok', found: 'one process: listens nowhere' };
  if (addresses.length === 0) {
    const advice = 'Nobody can join by this node. Give it an address with --listen.';
    return { check: 'port', level: 'fail', found: 'listens nowhere', advice };
  }
  return {
    check: 'port',
    level: 'ok',
    found: `listens on ${addresses.map((text) => text.replace(/\/p2p\/.*/, '')).join(', ')}`,
  };
}

async function checkBootstrap(
  mesh: Mesh,
  address: string,
  facts: DiagnosisFacts,
  signal: AbortSignal,
): Promise<Diagnosis> {
  const check = 'bootstrap';
  const id = /\/p2p\/([^/]+)$/.exec(address)?.[1];
  const peer = mesh.status().peers.find((candidate) => candidate.id === id);
  if (peer !== undefined) return { check, level: 'ok', found: `${address} is connected` };
  const failure = facts.joinFailures.get(address);
  const reason = failure === undefined ? undefined : `${failure.code}: ${failure.message}`;
  const port = await dial(address, signal);
  // A node is a neighbour of about ten others; one that answers need not be among them.
  if (port.open && reason === undefined) return { check, level: 'ok', found: `${address} answers` };
  if (port.open) return { check, level: 'fail', found: `${address} answers, but ${reason}`, advice: 'See the reason.' };
  return {
    check,
    level: 'warn',
    found: `${address} does not answer: ${reason ?? port.why}`,
    advice: 'Is that node up, and the address right? It is tried again for as long as this node runs.',
  };
}

/** Whether something listens there at all. */
export function dial(address: string, signal: AbortSignal): Promise<{ readonly open: boolean; readonly why: string }> {
  const [, host, port] = /^\/(?:ip4|ip6|dns4|dns6|dns)\/([^/]+)\/tcp\/(\d+)/.exec(address) ?? [];
  if (host === undefined || port === undefined) return Promise.resolve({ open: false, why: 'no TCP address' });
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port), timeout: dialTimeoutMs });
    const end = (open: boolean, why: string): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve({ open, why });
    };
    const onAbort = (): void => end(false, 'given up');
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => end(true, ''));
    socket.once('timeout', () => end(false, `no answer within ${dialTimeoutMs} ms`));
    socket.once('error', (error: NodeJS.ErrnoException) => end(false, error.code ?? error.message));
  });
}

function checkMembers(mesh: Mesh): Diagnosis {
  const { members, peers, mode } = mesh.status();
  const known = Object.values(members).reduce((sum, count) => sum + count, 0);
  const found = `${members.alive} alive of ${known} known, ${peers.length} connected`;
  if (mode === 'cluster' && known > 1 && peers.length === 0) {
    const advice = 'This node is cut off from every other. Check the network, then the bootstrap addresses.';
    return { check: 'members', level: 'fail', found, advice };
  }
  const doubted = members.suspect + members.unreachable;
  if (doubted === 0) return { check: 'members', level: 'ok', found };
  const advice = "'quorate members' shows which; 'quorate members --why <id>' who says so.";
  return { check: 'members', level: 'warn', found: `${found}, ${doubted} suspect or unreachable`, advice };
}

function checkFeeds(mesh: Mesh): Diagnosis {
  const { lag, feeds } = mesh.status();
  const found = `${feeds.length} feeds, ${lag.feedsBehind} behind`;
  if (lag.feedsBehind === 0) return { check: 'feeds', level: 'ok', found };
  const advice = 'They are repaired from other members within seconds; when this stays, look at the members above.';
  return { check: 'feeds', level: 'warn', found, advice };
}

function checkRefusals(mesh: Mesh): Diagnosis {
  const refused = Object.entries(mesh.status().refused).filter(([, count]) => count > 0);
  if (refused.length === 0) return { check: 'refused', level: 'ok', found: 'nothing was refused' };
  const found = `refused from outside: ${refused.map(([reason, count]) => `${reason} ${count}×`).join(', ')}`;
  const mismatch = refused.some(([reason]) => /mesh|version|key|allow/i.test(reason));
  return {
    check: 'refused',
    level: 'warn',
    found,
    advice: mismatch
      ? 'Somebody tries to join with another mesh name, version or key: compare theirs with this one.'
      : 'Somebody sends what does not belong here; SECURITY.md says what such a peer can do.',
  };
}
