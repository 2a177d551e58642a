/** A command that runs while something is held, and that is ended with everything it started when it is not held any more. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';

export class HeldCommand {
  /**
   * Its exit code as shells have it: 128 and the signal's number when a signal ended it, 127 when there is no such command, 126 when it
   * cannot be started.
   */
  readonly ended: Promise<number>;
  /** Why it was not started, once `ended` has resolved. */
  failure: string | undefined;
  readonly #child: ChildProcess;
  /** A terminal belongs to one process group: a command that reads from it must stay in ours. */
  readonly #ownGroup = process.stdin.isTTY !== true;
  #ending = false;
  #killer: NodeJS.Timeout | undefined;

  constructor(program: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.#child = spawn(program, args, {
      stdio: 'inherit',
      env: { ...process.env, ...env },
      detached: this.#ownGroup,
    });
    // Asked to go at once (Ctrl-C twice), this program must not leave it behind.
    const onExit = (): void => this.#signal('SIGKILL');
    process.once('exit', onExit);
    this.ended = new Promise<number>((resolve) => {
      this.#child.once('error', (cause: NodeJS.ErrnoException) => {
        const isMissing = cause.code === 'ENOENT';
        this.failure = `'${program}' was not started: ${isMissing ? 'there is no such command' : cause.message}.`;
        resolve(isMissing ? 127 : 126);
      });
      this.#child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
    }).finally(() => {
      process.off('exit', onExit);
      // What it started and left behind is ended with it, if it had to be ended at all.
      if (this.#ending) this.#signal('SIGKILL');
      clearTimeout(this.#killer);
    });
  }

  /** SIGTERM: it may take its time. */
  ask(): void {
    this.#signal('SIGTERM');
  }

  /** SIGTERM, and SIGKILL if that does not help within this time. */
  end(killAfterMs: number): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#signal('SIGTERM');
    this.#killer = setTimeout(() => this.#signal('SIGKILL'), killAfterMs);
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined) return; // It could not be started.
    try {
      process.kill(this.#ownGroup ? -pid : pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // ESRCH: it has ended already.
    }
  }
}
