/**
 * The place of a validator in this process: empty, or with a validator that runs on its log. It is taken once; a validator that fails leaves it for good, for what
 * is wrong with a disk is not mended by starting again.
 */
import { QuorateError } from '../../../errors.ts';
import type { WriteAheadLog } from '../../pbft/driver/write-ahead-log.ts';
import { Validator, type ValidatorParts } from './validator.ts';

export interface SeatParts extends Omit<ValidatorParts, 'log' | 'onFailed'> {
  /** Rejects when this node may not or cannot have a log. */
  readonly openLog: () => Promise<WriteAheadLog>;
}

export class ValidatorSeat {
  readonly #onFailed: (error: QuorateError) => void;
  readonly #onRunning: () => void;
  #validator: Validator | undefined;
  #log: WriteAheadLog | undefined;
  #starting: Promise<void> | undefined;
  #failure: QuorateError | undefined;
  #stopped = false;

  constructor(onRunning: () => void, onFailed: (error: QuorateError) => void) {
    this.#onRunning = onRunning;
    this.#onFailed = onFailed;
  }

  get validator(): Validator | undefined {
    return this.#validator;
  }

  get failure(): QuorateError | undefined {
    return this.#failure;
  }

  /** Resolves when the validator runs, or cannot; does nothing when the seat was taken before. */
  take(parts: SeatParts): Promise<void> {
    this.#starting ??= this.#run(parts).catch((error: unknown) => this.#fail(asFailure(error)));
    return this.#starting;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#starting;
    this.#validator?.stop();
    await this.#log?.close();
  }

  async #run({ openLog, ...parts }: SeatParts): Promise<void> {
    const log = await openLog();
    this.#log = log;
    if (this.#stopped) return;
    this.#validator = new Validator({ ...parts, log, onFailed: (error) => this.#fail(error) });
    this.#validator.start();
    this.#onRunning();
  }

  #fail(error: QuorateError): void {
    this.#failure = error;
    this.#validator?.stop();
    this.#validator = undefined;
    this.#onFailed(error);
  }
}

function asFailure(error: unknown): QuorateError {
  if (error instanceof QuorateError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new QuorateError(
    'VALIDATOR_FAILED',
    `The validator of this process cannot run: ${why}`,
    { reason: why },
    { cause: error },
  );
}
