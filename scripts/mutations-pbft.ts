/**
 * `node scripts/mutations-pbft.ts [--only NAME] [--seconds 20] [--both]`: plants one bug at a time in a copy of
 * the agreement protocol and sees it caught, by the simulation or else by the scripted scenarios. A suite that
 * lets one through is no proof of anything. Exit code 1 when a bug survives or no longer fits the source.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, stripVTControlCharacters } from 'node:util';

interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** The adversary that the simulation meets it with; all kinds, and none, where not given. */
  readonly against?: string;
}

const mutations: readonly Mutation[] = [
  {
    name: 'quorum off by one',
    file: 'quorum.ts',
    find: 'return Math.floor((n + f) / 2) + 1;',
    replace: 'return Math.floor((n + f) / 2);',
  },
  {
    name: 'no watermark check',
    file: 'state.ts',
    find: 'return seq > state.log.low && seq <= highWatermark(state);',
    replace: 'return seq > state.log.low;',
  },
  {
    name: 'prepared certificates not checked',
    against: 'certificateForger',
    file: 'validate.ts',
    find: '  const { view, seq, digest, prepares } = certificate;\n',
    replace: '  const { view, seq, digest, prepares } = certificate;\n  if (view >= 0) return true;\n',
  },
  {
    name: 'a restarted primary goes on',
    file: 'recovery.ts',
    find: '  if (heard && isPrimary(state)) state.abdicated',
    replace: '  if (heard && state.view < 0) state.abdicated',
  },
  {
    name: 'the very first proposal does not wait for the disk',
    file: 'normal-case.ts',
    find: '  const early = announce && state.recorded;',
    replace: '  const early = announce;',
  },
  {
    name: 'log written after sending',
    file: 'replica.ts',
    find: '  return turn.effects;',
    replace:
      "  const sends = turn.effects.filter(({ type }) => type === 'send');\n  return [...sends, ...turn.effects.filter(({ type }) => type !== 'send')];",
  },
  {
    name: 'lowest view wins in a new view',
    against: 'equivocator',
    file: 're-proposals.ts',
    find: 'certificate.view > known.view',
    replace: 'certificate.view < known.view',
  },
  {
    name: 'new view proposals not compared with the view changes',
    against: 'newViewLiar',
    file: 'validate.ts',
    find: "    if (proposal?.seq !== seq || proposal.digest !== digest) return 'bad-certificate';\n    const vote = { epoch: view.epoch, view: view.view, seq, digest };",
    replace:
      "    if (proposal === undefined || seq < 0 || digest === '') return 'bad-certificate';\n    const vote = { epoch: view.epoch, view: view.view, seq: proposal.seq, digest: proposal.digest };",
  },
  {
    name: 'fresh proposals allowed below the new view',
    against: 'newViewLiar',
    file: 'normal-case.ts',
    find: '  if (message.seq <= state.viewFloor) return state.reProposed.get(message.seq) === message.digest;\n',
    replace: '',
  },
  {
    name: 'view change without certificates',
    file: 'view-change.ts',
    find: 'if (certificate !== undefined) prepared.push(certificate);',
    replace: 'if (certificate !== undefined && seq < 0) prepared.push(certificate);',
  },
  {
    name: 'one claim is proof of a commit',
    against: 'slanderer',
    file: 'normal-case.ts',
    find: 'if (matching < weakQuorumOf(state.group)) return;',
    replace: 'if (matching < 1) return;',
  },
  {
    name: 'executed requests run again',
    file: 'sessions.ts',
    find: 'if (reply !== undefined) {',
    replace: 'if (reply !== undefined && request.number < 0) {',
  },
  {
    name: 'state chunks not verified',
    against: 'stateCorrupter',
    file: 'transfer.ts',
    find: 'if (digestOf(bytes) !== transfer.chunks?.[part - 1]) return false;',
    replace: '',
  },
  {
    name: 'one view change is joined',
    against: 'certificateForger',
    file: 'view-change.ts',
    find: '[weakQuorumOf(state.group) - 1];',
    replace: '[0];',
  },
  {
    name: 'checkpoint stable without a quorum',
    against: 'lyingCheckpoint',
    file: 'checkpoints.ts',
    find: 'same.length >= quorumOf(state.group)',
    replace: 'same.length >= 1',
  },
  {
    name: 'restart forgets certificates',
    file: 'recovery.ts',
    find: 'if (record.seq > state.log.low) restorePrepared(state, certificate);',
    replace: '',
  },
  {
    name: 'restart forgets proposals',
    file: 'recovery.ts',
    find: "if (message.type === 'prePrepare' && record.seq > state.log.low) restoreProposal(state, message);",
    replace: '',
  },
  {
    name: 'restart forgets view changes',
    file: 'recovery.ts',
    find: '    state.view = message.view;\n    state.active = false;\n',
    replace: '',
  },
  {
    name: 'pre-prepare of another view taken under the own',
    against: 'staleViewSpammer',
    file: 'normal-case.ts',
    find: 'message.view !== state.view || !state.active) return;\n  if (!inWindow(state, message.seq) || !votes(state)) return;',
    replace: '!state.active) return;\n  if (!inWindow(state, message.seq) || !votes(state)) return;',
  },
  {
    name: 'second proposal replaces the first',
    against: 'equivocator',
    file: 'normal-case.ts',
    find: 'if (slot.proposal?.view === message.view) {',
    replace: 'if (slot.proposal?.view === message.view && slot.proposal.digest === message.digest) {',
  },
  {
    name: 'client believes one reply',
    file: 'client.ts',
    find: 'if (!agreed(entry.replies, from, weakQuorumOf(state.group))) return;',
    replace: '',
  },
  {
    name: 'reads do not wait for what was promised',
    file: 'execution.ts',
    find: 'after: state.promised };',
    replace: 'after: 0 };',
  },
  {
    name: 'window spans two epochs',
    file: 'state.ts',
    find: '  if (current.epoch > state.group.epoch) return current.since;\n  return next?.since ?? Number.POSITIVE_INFINITY;',
    replace:
      '  if (current.epoch > state.group.epoch + 99) return current.since;\n  return next === undefined ? Number.POSITIVE_INFINITY : next.since + 99;',
  },
  {
    name: 'one vote changes the validators',
    against: 'reconfigurationAttacker',
    file: 'reconfiguration.ts',
    find: 'if (agreed < quorumOf(current))',
    replace: 'if (agreed < 1)',
  },
  {
    name: 'no timer for waiting requests',
    file: 'state.ts',
    find: 'if (votes(turn.state)) turn.state.suspectAt ??=',
    replace: 'if (votes(turn.state) && turn.now.monotonicMs < 0) turn.state.suspectAt ??=',
  },
  {
    name: 'one voter counted many times',
    against: 'certificateForger',
    file: 'validate.ts',
    find: 'return names.size === votes.length && votes.every',
    replace: 'return names.size <= votes.length && votes.every',
  },
  {
    name: 'signatures of prepares do not cover the digest',
    against: 'certificateForger',
    file: 'messages.ts',
    find: '  return writer.digest(digest).finish();',
    replace: "  return writer.digest(type === 'prepare' ? '00'.repeat(32) : digest).finish();",
  },
  {
    name: 'slots dropped before their checkpoint is stable',
    file: 'log.ts',
    find: 'for (let seq = log.low + 1; seq <= stable; seq++) log.slots.delete(seq);',
    replace: 'for (let seq = log.low + 1; seq <= stable + 2; seq++) log.slots.delete(seq);',
  },
  {
    name: 'commits of different views counted together',
    file: 'normal-case.ts',
    find: 'if (commit.view === view && commit.digest === digest) matching++;',
    replace: 'if (commit.view <= view) matching++;',
  },
  {
    name: 'state transfer without a quorum behind it',
    against: 'reconfigurationAttacker',
    file: 'validate.ts',
    find: 'if (proof.votes.length < quorumOf(group) || !distinctValidators(group, proof.votes))',
    replace: 'if (!distinctValidators(group, proof.votes))',
  },
  {
    name: 'who is further does not count for the view before',
    file: 'view-change.ts',
    find: 'filter(({ view }) => view >= state.view)',
    replace: 'filter(({ view }) => view === state.view)',
  },
  {
    name: 'f + 1 stuck replicas are not joined',
    file: 'view-change.ts',
    find: 'weak > 1 && wanting >= weak',
    replace: 'weak > 1 && wanting < 0',
  },
  {
    name: 'a checkpoint signed before what it covers is written down',
    file: 'checkpoints.ts',
    find: '    persistExecuted(turn, snapshot.head.seq);\n',
    replace: '',
  },
  {
    name: 'a batch learnt from others not written down',
    file: 'checkpoints.ts',
    find: 'slot.proposal?.digest === digest ? undefined',
    replace: "digest !== '' ? undefined",
  },
  {
    name: 'late parts of a state thrown away',
    file: 'transfer.ts',
    find: 'if (!good && !asked) return;',
    replace: 'if (!asked) return;',
  },
];

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seconds: { type: 'string', default: '20' },
    both: { type: 'boolean', default: false },
  },
});
const root = join(import.meta.dirname, '..');
const copy = mkdtempSync(join(tmpdir(), 'quorate-mutations-'));
for (const path of ['src', 'test', 'scripts', 'package.json', 'tsconfig.json', 'vitest.config.ts']) {
  cpSync(join(root, path), join(copy, path), { recursive: true });
}
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));

/** How a suite took it: undefined when it noticed nothing. */
function run(args: readonly string[]): string | undefined {
  const child = spawnSync(process.execPath, args, { cwd: copy, encoding: 'utf8', timeout: 180_000 });
  if (child.status === 0) return undefined;
  const output = stripVTControlCharacters(`${child.stdout}${child.stderr}`);
  const line = output.split('\n').find((one) => /^seed \d+:|✗|×|FAIL/.test(one.trim()));
  return (line ?? (child.error === undefined ? 'failed' : 'never ended')).trim().slice(0, 110);
}

const vitest = join('node_modules', 'vitest', 'vitest.mjs');
const suites = {
  simulation: ['scripts/soak-pbft.ts', '--seeds', '100000', '--seconds', values.seconds, '--brief'],
  scenarios: [vitest, 'run', 'test/protocols/pbft'],
};
let survivors = 0;
try {
  for (const mutation of mutations) {
    if (values.only !== undefined && !mutation.name.includes(values.only)) continue;
    const path = join(copy, 'src/protocols/pbft', mutation.file);
    const original = readFileSync(path, 'utf8');
    if (original.split(mutation.find).length !== 2) {
      console.log(`STALE     ${mutation.name}: ${mutation.file} no longer has the text to change exactly once`);
      survivors++;
      continue;
    }
    writeFileSync(
      path,
      original.replace(mutation.find, () => mutation.replace),
    );
    const against = mutation.against === undefined ? [] : ['--only', mutation.against];
    const bySimulation = run([...suites.simulation, ...against]);
    const byScenarios = bySimulation === undefined || values.both ? run(suites.scenarios) : undefined;
    writeFileSync(path, original);
    const caught = bySimulation ?? byScenarios;
    if (caught === undefined) survivors++;
    const who = [bySimulation && 'simulation', byScenarios && 'scenarios'].filter(Boolean).join('+');
    console.log(
      `${caught === undefined ? 'SURVIVED ' : 'caught   '} ${mutation.name}${caught === undefined ? '' : ` (${who}): ${caught}`}`,
    );
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(survivors === 0 ? 'Every planted bug was caught.' : `${survivors} not caught.`);
process.exit(survivors === 0 ? 0 : 1);
