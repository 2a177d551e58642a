/**
 * What the job looks like. On a terminal a few lines are drawn again and again below what was said; without
 * one, everything is a plain line. The view is told what happened and decides nothing.
 */
import { pc } from '../colors.ts';
import type { Terminal } from '../output.ts';

export interface WorkerLine {
  readonly agent: string;
  readonly zone: string;
  readonly pid: number;
  readonly node: string;
  held: number;
  doing: string;
  state: 'works' | 'killed' | 'gone';
}

const drawEveryMs = 80;
const barWidth = 34;

export class JobView {
  readonly #terminal: Terminal;
  readonly #started = performance.now();
  readonly #workers = new Map<string, WorkerLine>();
  #total = 0;
  #done = 0;
  #drawnLines = 0;
  #lastTenth = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(terminal: Terminal) {
    // A line that wraps cannot be drawn over.
    this.#terminal = { ...terminal, isTty: terminal.isTty && terminal.columns >= 90 };
  }

  /** A heading of its own, with an empty line before it. */
  heading(text: string): void {
    this.#say(`\n${pc.bold(text)}`);
  }

  line(text: string): void {
    this.#say(`  ${text}`);
  }

  /** Something that happened, with the time since the start. */
  event(text: string): void {
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(2).padStart(6);
    this.#say(`  ${pc.dim(`${seconds} s`)}  ${text}`);
  }

  /** From now on workers and progress are drawn, until `endProgress`. */
  beginProgress(workers: readonly WorkerLine[], total: number): void {
    for (const worker of workers) this.#workers.set(worker.agent, worker);
    this.#total = total;
    if (!this.#terminal.isTty) return;
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), drawEveryMs);
  }

  progress(done: number): void {
    this.#done = done;
    const tenth = Math.floor((done / this.#total) * 10);
    if (!this.#terminal.isTty && tenth > this.#lastTenth) {
      this.#lastTenth = tenth;
      this.event(`${bar(done, this.#total)} ${done} of ${this.#total} batches`);
    }
  }

  worker(agent: string): WorkerLine | undefined {
    return this.#workers.get(agent);
  }

  /** The last state stays on the screen. Idempotent. */
  endProgress(): void {
    clearInterval(this.#timer);
    if (this.#terminal.isTty && this.#workers.size > 0) this.#draw();
    this.#drawnLines = 0;
    this.#workers.clear();
  }

  #say(text: string): void {
    this.#erase();
    this.#terminal.out(`${text}\n`);
    if (this.#workers.size > 0 && this.#terminal.isTty) this.#draw();
  }

  #erase(): void {
    if (this.#drawnLines > 0) this.#terminal.out(`\x1b[${this.#drawnLines}F\x1b[J`);
    this.#drawnLines = 0;
  }

  #draw(): void {
    const name = Math.max(...[...this.#workers.keys()].map((agent) => agent.length));
    const lines = ['', ...[...this.#workers.values()].map((worker) => this.#workerLine(worker, name))];
    const percent = `${Math.floor((this.#done / Math.max(1, this.#total)) * 100)} %`.padStart(5);
    lines.push(
      '',
      `  ${pc.green(bar(this.#done, this.#total))} ${pc.bold(percent)}  ${this.#done} of ${this.#total} batches`,
    );
    this.#erase();
    this.#terminal.out(`${lines.join('\n')}\n`);
    this.#drawnLines = lines.length;
  }

  #workerLine({ agent, zone, pid, held, doing, state }: WorkerLine, nameWidth: number): string {
    const who = `${agent.padEnd(nameWidth)}  ${zone.padEnd(6)} pid ${String(pid).padEnd(7)}`;
    if (state === 'killed') return `  ${pc.red(`✗ ${who} killed`)}`;
    if (state === 'gone') return `  ${pc.red(`✗ ${who} gone: known to the mesh, its batches go to others`)}`;
    const blocks = '▪'.repeat(Math.min(held, 24)).padEnd(Math.min(24, Math.ceil(this.#total / 3)));
    const room = Math.max(10, this.#terminal.columns - nameWidth - 60);
    const now = doing.length > room ? `…${doing.slice(1 - room)}` : doing;
    return `  ${pc.green('●')} ${who} ${pc.cyan(blocks)} ${String(held).padStart(3)}  ${pc.dim(now)}`;
  }
}

function bar(done: number, total: number): string {
  const full = total === 0 ? 0 : Math.round((done / total) * barWidth);
  return '█'.repeat(full) + '░'.repeat(barWidth - full);
}
