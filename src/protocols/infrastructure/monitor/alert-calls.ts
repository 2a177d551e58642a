/** Calls the agents that want to hear of alerts: in order, each again until it has answered, or is given up. */
import type { Clock, Rng } from '../../../clock.ts';
import { isQuorateError } from '../../../errors.ts';
import type { AgentId, Value } from '../../../value.ts';
import { Backoff } from '../../membership/backoff.ts';
import type { Messaging } from '../../messaging/messaging.ts';

export interface AlertCallsOptions {
  readonly agents: readonly AgentId[];
  readonly method: string;
  readonly messaging: Pick<Messaging, 'call'>;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly onError: (error: unknown, where: string) => void;
}

interface Waiting {
  readonly message: Value;
  readonly key: string;
  readonly done: () => void;
}

/** Longest wait for one answer, milliseconds. */
const timeoutMs = 5_000;
/** Attempts for one agent; with the pauses between them about a minute. */
const attempts = 7;
const firstPauseMs = 500;
const longestPauseMs = 15_000;
/** Alerts that wait for an agent to answer an earlier one; the oldest is dropped first. */
const longestQueue = 64;

export class AlertCalls {
  readonly #options: AlertCallsOptions;
  readonly #waiting: Waiting[] = [];
  readonly #stop = new AbortController();
  #running = false;

  constructor(options: AlertCallsOptions) {
    this.#options = options;
  }

  /** `key` is the same for the same alert, whoever sends it. `done` is called when all agents have answered or are given up. */
  send(message: Value, key: string, done: () => void): void {
    this.#waiting.push({ message, key, done });
    if (this.#waiting.length > longestQueue) this.#waiting.shift();
    if (!this.#running) void this.#run();
  }

  stop(): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { message, key } = next;
      await Promise.all(this.#options.agents.map((agent) => this.#call(agent, message, key)));
      if (this.#stop.signal.aborted) break;
      next.done();
    }
    this.#running = false;
  }

  /** Never rejects. */
  async #call(agent: AgentId, message: Value, idempotencyKey: string): Promise<void> {
    const { messaging, method, clock, rng, onError } = this.#options;
    const { signal } = this.#stop;
    const backoff = new Backoff(rng, firstPauseMs, longestPauseMs);
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        await messaging.call(agent, message, { method, idempotencyKey, timeoutMs, retries: 0, signal });
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (attempt === attempts || !mayHelp(error)) {
          onError(error, `telling agent '${agent}' of an alert`);
          return;
        }
      }
      await pause(clock, backoff.next(), signal);
    }
  }
}

/** Would it be otherwise another time? Its handler has had it, or there is none. */
function mayHelp(error: unknown): boolean {
  if (!isQuorateError(error)) return false;
  if (error.code === 'REJECTED') return error.data['reason'] !== 'no-such-method';
  return error.code === 'NOT_DELIVERED' || error.code === 'UNKNOWN_OUTCOME';
}

function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, finish);
    function finish(): void {
      timer.cancel();
      signal.removeEventListener('abort', finish);
      resolve();
    }
    signal.addEventListener('abort', finish);
  });
}
