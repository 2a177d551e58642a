/**
 * The main job (`npm start`): a mesh of real processes indexes a folder; half way one process is killed;
 * the answer is right all the same, and compared with a single-process count.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Accusation,
  type ControlServer,
  createMesh,
  isQuorateError,
  type Logger,
  type Mesh,
  serveControl,
} from '../../index.ts';
import { pc } from '../colors.ts';
import { exitCodes } from '../exit-codes.ts';
import { plural, shortId, type Terminal } from '../output.ts';
import { capability } from './contract.ts';
import { type Batch, type Corpus, cutIntoBatches, readCorpus } from './corpus.ts';
import { IndexJob, type SearchResult } from './job.ts';
import { type IndexerProcess, IndexerProcesses } from './processes.ts';
import type { DemoSummary, KillSummary } from './summary.ts';
import { sameCounts, type TermCounts, topTerms, wordsOf } from './term-index.ts';
import { chooseSearches, SingleProcessIndex, sameRanking } from './verification.ts';
import { JobView } from './view.ts';

export interface DemoOptions {
  readonly folder: string;
  /** Indexer processes; the coordinator is one more. */
  readonly indexers: number;
  /** A batch takes at least this long, milliseconds. */
  readonly paceMs: number;
  readonly kill: boolean;
  /** The whole job must end within this time, milliseconds. */
  readonly deadlineMs: number;
  /** Called when all is done and verified, before the mesh is stopped. */
  readonly beforeStop: (finished: FinishedDemo) => Promise<void>;
}

export interface FinishedDemo {
  readonly summary: DemoSummary;
  readonly mesh: Mesh;
  /** Searches the index that the agents hold. */
  search(text: string): Promise<SearchResult>;
}

const zones = ['east', 'west'];
const quietMs = 1_500;
const stopLimitMs = 20_000;

/** Resolves when all is over, the answer right or wrong. Rejects when it could not be finished in time. */
export async function runDemo(options: DemoOptions, terminal: Terminal, interrupted: AbortSignal): Promise<void> {
  const corpus = readCorpus(options.folder);
  const view = new JobView(terminal);
  const processes = new IndexerProcesses();
  const deadline = new AbortController();
  const timer = setTimeout(
    () => deadline.abort(new Error(`The job did not end within ${options.deadlineMs / 1000} s (--deadline).`)),
    options.deadlineMs,
  );
  const demo = new Demo(options, corpus, view, processes, AbortSignal.any([deadline.signal, interrupted]));
  try {
    const finished = await demo.run();
    clearTimeout(timer);
    await options.beforeStop(finished);
  } catch (error) {
    for (const complaint of processes.complaints) terminal.err(`${complaint}\n`);
    // Whatever was waited for says only that it was aborted.
    throw deadline.signal.aborted ? deadline.signal.reason : error;
  } finally {
    clearTimeout(timer);
    view.endProgress();
    giveUpAfter(stopLimitMs, terminal);
    await processes.stop();
    await demo.stop();
  }
}

/** Something that hangs while it stops must not keep whoever started this waiting. */
function giveUpAfter(ms: number, terminal: Terminal): void {
  const giveUp = (): never => {
    terminal.err(`The mesh did not stop within ${ms / 1000} s; its processes are killed.\n`);
    process.exit(exitCodes.failure);
  };
  setTimeout(giveUp, ms).unref();
}

class Demo {
  readonly #options: DemoOptions;
  readonly #corpus: Corpus;
  readonly #view: JobView;
  readonly #processes: IndexerProcesses;
  readonly #signal: AbortSignal;
  readonly #started = performance.now();
  #mesh: Mesh | undefined;
  #control: ControlServer | undefined;
  #indexers: readonly IndexerProcess[] = [];
  #killed: { readonly victim: IndexerProcess; readonly at: number; readonly wallAt: number } | undefined;
  #noticedMs: number | undefined;
  #accusations: readonly Accusation[] = [];
  #done = 0;
  #lostBatches: readonly Batch[] = [];

  constructor(options: DemoOptions, corpus: Corpus, view: JobView, processes: IndexerProcesses, signal: AbortSignal) {
    this.#options = options;
    this.#corpus = corpus;
    this.#view = view;
    this.#processes = processes;
    this.#signal = signal;
  }

  async run(): Promise<FinishedDemo> {
    const batches = cutIntoBatches(this.#corpus, this.#options.indexers * 10);
    this.#tellPlan(batches);
    const mesh = await this.#startMesh();
    const job = this.#prepareJob(mesh, batches);
    this.#view.heading('Work');
    this.#view.beginProgress(
      this.#indexers.map(({ settings, pid, node }) => {
        return { agent: settings.agent, zone: settings.zone, pid, node, held: 0, doing: '', state: 'works' };
      }),
      batches.length,
    );
    const counts = await job.run();
    this.#view.endProgress();
    const single = new SingleProcessIndex(this.#corpus);
    const searches = await this.#search(job, single);
    const kill = await this.#describeKill(mesh, job);
    const summary = this.#summarise(mesh, job, batches.length, counts, single, searches, kill);
    return { summary, mesh, search: (text) => job.search(wordsOf(text)) };
  }

  async stop(): Promise<void> {
    await this.#control?.stop();
    await this.#mesh?.stop();
  }

  #tellPlan(batches: readonly Batch[]): void {
    const { files, bytes, folder } = this.#corpus;
    const { indexers, kill, paceMs } = this.#options;
    this.#view.heading(`A mesh of ${indexers + 1} processes indexes ${folder}`);
    this.#view.line(
      `${plural(files.length, 'file')}, ${size(bytes)} of text, cut into ${plural(batches.length, 'batch')}.`,
    );
    this.#view.line(`Each batch goes to whichever agent that can '${capability}' has the least to do.`);
    if (kill) this.#view.line('Half way, one process is killed with SIGKILL. No server, no broker, no shared disk.');
    if (paceMs > 0)
      this.#view.line(
        pc.dim(`Each batch is made to last ${paceMs} ms so that you can follow; --pace 0 for full speed.`),
      );
  }

  async #startMesh(): Promise<Mesh> {
    this.#view.heading('Mesh');
    const name = `demo-${process.pid}`;
    const mesh = await createMesh({ mode: 'cluster', name, zone: zones[0] as string, logger: this.#logger() });
    this.#mesh = mesh;
    this.#control = await this.#serveControl(mesh);
    const bootstrap = mesh.status().addresses.slice(0, 1);
    this.#view.event(`coordinator ${shortId(mesh.id)}, pid ${process.pid}, listens on ${bootstrap[0]}`);
    this.#indexers = await Promise.all(
      Array.from({ length: this.#options.indexers }, async (_, i) => {
        const zone = zones[i % zones.length] as string;
        const settings = { mesh: name, zone, agent: `indexer-${i + 1}`, bootstrap, paceMs: this.#options.paceMs };
        const indexer = await this.#processes.start(settings, this.#signal);
        this.#view.event(`${settings.agent} ${shortId(indexer.node)}, pid ${indexer.pid}, joined by that address`);
        return indexer;
      }),
    );
    // Their registrations travel as signed feeds; wait for the event that brings the last one.
    const found = new Set<string>();
    for await (const event of mesh.registry.watch({ capabilities: capability }, { signal: this.#signal })) {
      if (event.type === 'up') found.add(event.record.id);
      if (found.size === this.#indexers.length) break;
    }
    this.#signal.throwIfAborted();
    this.#view.event(`${found.size} agents found by what they can do: query({ capabilities: '${capability}' })`);
    await this.#untilQuiet(mesh);
    this.#view.event('members have come to rest: each is now watched by several others');
    return mesh;
  }

  /** The job needs no control socket; without one the other commands cannot look on, and that is said. */
  async #serveControl(mesh: Mesh): Promise<ControlServer | undefined> {
    try {
      return await serveControl(mesh);
    } catch (error) {
      if (!isQuorateError(error, 'CONTROL_UNAVAILABLE')) throw error;
      this.#view.event(pc.dim(error.message));
      return undefined;
    }
  }

  #nameOf(node: string): string {
    return this.#indexers.find((indexer) => indexer.node === node)?.settings.agent ?? 'the coordinator';
  }

  /** Who watches whom is settled half a second after the last member joined; a kill before that is noticed more slowly. */
  async #untilQuiet(mesh: Mesh): Promise<void> {
    for (;;) {
      const changed = new AbortController();
      const off = mesh.membership.on('change', () => changed.abort());
      try {
        await sleep(quietMs, undefined, { signal: AbortSignal.any([changed.signal, this.#signal]) });
        return;
      } catch (error) {
        if (this.#signal.aborted) throw error; // Otherwise somebody joined: wait anew.
      } finally {
        off();
      }
    }
  }

  /** Warnings would break the drawing; they are kept, and shown when something went wrong. */
  #logger(): Logger {
    const silent = (): void => undefined;
    const keep = (message: string): void => void this.#processes.complaints.push(`coordinator: ${message}`);
    return { debug: silent, info: silent, warn: keep, error: keep };
  }

  #prepareJob(mesh: Mesh, batches: readonly Batch[]): IndexJob {
    const view = this.#view;
    const job = new IndexJob(mesh, batches, this.#signal, {
      onStarted: (agent, batch) => {
        const line = view.worker(agent);
        if (line !== undefined) line.doing = batch.files[0]?.path ?? '';
        if (this.#done >= batches.length / 2) this.#kill(agent, job, batches);
      },
      onDone: (agent, _batch, done) => {
        const line = view.worker(agent);
        if (line !== undefined) line.held = job.load(agent).held;
        this.#done = done;
        view.progress(done);
        // With hardly any batches, all of them are given out before the first is done.
        if (job.waiting === 0 && done >= batches.length / 2) this.#kill(agent, job, batches);
      },
      onRerouted: (agent, batch, code) =>
        view.event(`batch ${batch.id} was with ${agent}: ${pc.yellow(code)}, goes to another agent`),
      onLost: (agent, lost) => {
        const line = view.worker(agent);
        if (line !== undefined) line.state = 'gone';
        view.event(
          `${agent} is out of the registry; ${plural(lost, 'finished batch')} it held go to others, to be indexed again`,
        );
      },
    });
    mesh.membership.on('change', ({ member }) => {
      if (member.state !== 'unreachable' || member.id !== this.#killed?.victim.node) return;
      this.#noticedMs ??= performance.now() - this.#killed.at;
      view.event(`${pc.yellow('unreachable')}: the mesh has noticed, ${Math.round(this.#noticedMs)} ms after the kill`);
      this.#accusations = mesh.membership.accusations(member.id);
      for (const { accuser, evidence } of this.#accusations) {
        view.event(pc.dim(`  said and signed by ${this.#nameOf(accuser)}: ${evidence}`));
      }
    });
    return job;
  }

  /** Kills the process of `agent`, once: while it holds finished batches and, where there are enough, has just been given another. */
  #kill(agent: string, job: IndexJob, batches: readonly Batch[]): void {
    const victim = this.#indexers.find(({ settings }) => settings.agent === agent);
    const { held, working } = job.load(agent);
    if (!this.#options.kill || this.#killed !== undefined || victim === undefined || held === 0) return;
    this.#lostBatches = batches.filter((batch) => job.holder(batch.id) === agent);
    victim.kill();
    this.#killed = { victim, at: performance.now(), wallAt: Date.now() };
    const line = this.#view.worker(agent);
    if (line !== undefined) line.state = 'killed';
    const what = `SIGKILL to ${agent} (pid ${victim.pid})`;
    this.#view.event(`${pc.red(pc.bold(what))}, which holds ${plural(held, 'finished batch')} and works on ${working}`);
  }

  async #search(job: IndexJob, single: SingleProcessIndex): Promise<DemoSummary['searches']> {
    this.#view.heading('Search in the index that the agents hold');
    const lostPaths = new Set(this.#lostBatches.flatMap((batch) => batch.files.map(({ path }) => path)));
    const results: (SearchResult & { verified: boolean })[] = [];
    for (const { terms, wasLost } of chooseSearches(single, lostPaths)) {
      const result = await job.search(terms);
      const verified = sameRanking(result.top, single.search(terms));
      results.push({ ...result, top: result.top.slice(0, 3), verified });
      const found = `${plural(result.files, 'file')} from ${plural(result.agents, 'agent')} in ${result.ms.toFixed(1)} ms`;
      this.#view.line(`${pc.bold(`"${terms.join(' ')}"`)}  ${found}  ${mark(verified)}`);
      if (wasLost)
        this.#view.line(
          pc.dim(`  only in files whose index died with ${this.#killed?.victim.settings.agent}: found again`),
        );
      for (const { path, score } of result.top.slice(0, 3))
        this.#view.line(`  ${score.toFixed(2).padStart(6)}  ${path}`);
    }
    return results;
  }

  /** How fast everybody knew. The survivors say by their own word when they saw the verdict. */
  async #describeKill(mesh: Mesh, job: IndexJob): Promise<KillSummary | undefined> {
    if (this.#killed === undefined) return undefined;
    const { victim, wallAt } = this.#killed;
    const survivors = this.#indexers.filter((indexer) => indexer !== victim);
    const seen: number[] = [];
    for (const { settings } of survivors) {
      for (;;) {
        this.#signal.throwIfAborted();
        job.calls += 1;
        const at = await mesh.call<number | null>(
          settings.agent,
          { node: victim.node },
          { method: 'verdict', signal: this.#signal },
        );
        if (at !== null) seen.push(at - wallAt);
        if (at !== null) break;
        await sleep(50, undefined, { signal: this.#signal }); // Asked before its verdict: ask again.
      }
    }
    return {
      agent: victim.settings.agent,
      node: victim.node,
      pid: victim.pid,
      noticedMs: Math.round(this.#noticedMs ?? Number.NaN),
      knownToAllMs: Math.max(Math.round(this.#noticedMs ?? 0), ...seen),
      accusedBy: this.#accusations.map(({ accuser, evidence, detail }) => {
        return { agent: this.#nameOf(accuser), evidence, detail };
      }),
      lostBatches: this.#lostBatches.length,
    };
  }

  #summarise(
    mesh: Mesh,
    job: IndexJob,
    batches: number,
    counts: TermCounts,
    single: SingleProcessIndex,
    searches: DemoSummary['searches'],
    kill: KillSummary | undefined,
  ): DemoSummary {
    const countsVerified = sameCounts(counts, single.counts);
    const killDone = kill !== undefined || !this.#options.kill;
    return {
      ok: countsVerified && killDone && searches.every(({ verified }) => verified),
      folder: this.#corpus.folder,
      mesh: mesh.status().name,
      nodes: this.#indexers.length + 1,
      agents: this.#indexers.length,
      batches,
      files: counts.files,
      words: counts.words,
      distinctTerms: counts.terms.size,
      postings: counts.postings,
      topTerms: topTerms(counts, 10),
      calls: job.calls,
      reroutedCalls: job.rerouted,
      reindexedBatches: job.reindexed,
      kill,
      searches,
      countsVerified,
      wallMs: Math.round(performance.now() - this.#started),
    };
  }
}

function mark(good: boolean): string {
  return good ? pc.green('✓ same as in a single process') : pc.red('✗ NOT what a single process finds');
}

function size(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
