/** What happened, for people and for programs. */
import { pc } from '../colors.ts';
import { plural, type Terminal } from '../output.ts';
import type { SearchResult } from './job.ts';

export interface KillSummary {
  readonly agent: string;
  readonly node: string;
  readonly pid: number;
  /** From the signal to the coordinator's `unreachable` event, milliseconds. */
  readonly noticedMs: number;
  /** From the signal until the last surviving node had that verdict, milliseconds. */
  readonly knownToAllMs: number;
  /** Who had said so, with which evidence, when the coordinator's verdict fell. */
  readonly accusedBy: readonly { readonly agent: string; readonly evidence: string; readonly detail: string }[];
  readonly lostBatches: number;
}

export interface DemoSummary {
  /** The answer is right, and everything that was to be shown happened. */
  readonly ok: boolean;
  readonly folder: string;
  readonly mesh: string;
  readonly nodes: number;
  readonly agents: number;
  readonly batches: number;
  readonly files: number;
  readonly words: number;
  readonly distinctTerms: number;
  readonly postings: number;
  readonly topTerms: readonly { readonly term: string; readonly count: number }[];
  readonly calls: number;
  readonly reroutedCalls: number;
  readonly reindexedBatches: number;
  readonly kill: KillSummary | undefined;
  readonly searches: readonly (SearchResult & { readonly verified: boolean })[];
  readonly countsVerified: boolean;
  readonly wallMs: number;
}

export function printSummary(terminal: Terminal, summary: DemoSummary): void {
  const number = (value: number): string => value.toLocaleString('en-US');
  const row = (what: string, text: string): void => terminal.out(`  ${pc.dim(what.padEnd(14))} ${text}\n`);
  const { kill } = summary;
  terminal.out(`\n${pc.bold('What happened')}\n`);
  row(
    'result',
    [
      plural(summary.files, 'file'),
      plural(summary.words, 'word'),
      plural(summary.distinctTerms, 'distinct term'),
      plural(summary.postings, 'posting'),
    ].join(', '),
  );
  row('top terms', summary.topTerms.map(({ term, count }) => `${term} ${number(count)}`).join(' · '));
  row('mesh', `${summary.nodes} nodes in ${summary.nodes} processes, ${summary.agents} indexing agents`);
  row(
    'calls',
    `${summary.calls}, of which ${summary.reroutedCalls} re-routed; ${plural(summary.reindexedBatches, 'batch')} indexed again`,
  );
  if (kill !== undefined) {
    const times = `noticed after ${kill.noticedMs} ms, known to all after ${kill.knownToAllMs} ms`;
    row('kill', `${kill.agent} (pid ${kill.pid}) with ${plural(kill.lostBatches, 'finished batch')}; ${times}`);
  }
  row('wall time', `${(summary.wallMs / 1000).toFixed(1)} s`);
  const verdict = summary.countsVerified
    ? pc.green(`✓ every count of all ${number(summary.distinctTerms)} terms equals the single-process count`)
    : pc.red('✗ the counts differ from the single-process count');
  row('verified', verdict);
  terminal.out('\n');
}
