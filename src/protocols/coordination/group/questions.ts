/** Questions to all validators, and their answers, matched by number. Ends when enough was heard, or at the deadline. */
import type { Clock } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';

interface Open<Answer> {
  readonly answers: Map<NodeId, Answer>;
  readonly asked: ReadonlySet<NodeId>;
  check(): void;
}

export class Questions<Answer> {
  readonly #clock: Clock;
  readonly #open = new Map<number, Open<Answer>>();
  #nextId = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Asks, and gives what `enough` makes of the answers as soon as it makes something; at the deadline, or when everybody has answered, what there is. `ask` is
   * called with the number that the answers must carry.
   */
  put<Result>(
    whom: readonly NodeId[],
    ask: (id: number) => void,
    enough: (answers: ReadonlyMap<NodeId, Answer>) => Result | undefined,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<{ readonly result: Result | undefined; readonly answers: ReadonlyMap<NodeId, Answer> }> {
    const id = this.#nextId++;
    const { signal, timeoutMs } = options;
    return new Promise((resolve, reject) => {
      const answers = new Map<NodeId, Answer>();
      const end = (settle: () => void): void => {
        if (!this.#open.delete(id)) return;
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
        settle();
      };
      const onAbort = (): void => end(() => reject(signal?.reason));
      const timer = this.#clock.after(timeoutMs, () => end(() => resolve({ result: enough(answers), answers })));
      this.#open.set(id, {
        answers,
        asked: new Set(whom),
        check: () => {
          const result = enough(answers);
          if (result !== undefined || answers.size === whom.length) end(() => resolve({ result, answers }));
        },
      });
      if (signal?.aborted === true) onAbort();
      else {
        signal?.addEventListener('abort', onAbort, { once: true });
        ask(id);
      }
    });
  }

  /** False for an answer that nobody asked this peer for, and for its second: each is weighed anew with all others, which a flood must not repeat. */
  answer(from: NodeId, id: number, answer: Answer): boolean {
    const open = this.#open.get(id);
    if (open === undefined || !open.asked.has(from) || open.answers.has(from)) return false;
    open.answers.set(from, answer);
    open.check();
    return true;
  }
}
