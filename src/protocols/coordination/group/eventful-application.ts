/**
 * The coordination machine as the agreement protocol runs it. Events are kept with the sequence they came from, so that a validator tells them only when that
 * sequence is settled on its disk.
 */
import type { Application, CommandContext } from '../../pbft/application.ts';
import type { CoordinationMachine, MachineEvent } from '../machine/machine.ts';

export class EventfulApplication implements Application {
  readonly machine: CoordinationMachine;
  readonly #events = new Map<number, MachineEvent[]>();
  /** Whether the state was replaced since it was last asked. */
  #replaced = false;

  constructor(machine: CoordinationMachine) {
    this.machine = machine;
  }

  apply(command: Uint8Array, context: CommandContext): Uint8Array {
    const result = this.machine.apply(command, context);
    const events = this.machine.takeEvents();
    if (events.length > 0) {
      const kept = this.#events.get(context.seq);
      if (kept === undefined) this.#events.set(context.seq, [...events]);
      else kept.push(...events);
    }
    return result;
  }

  query(query: Uint8Array): Uint8Array {
    return this.machine.query(query);
  }

  snapshot(): Uint8Array {
    return this.machine.snapshot();
  }

  restore(snapshot: Uint8Array): void {
    this.machine.restore(snapshot);
    this.#events.clear();
    this.#replaced = true;
  }

  /** The events of one sequence, once. */
  take(seq: number): readonly MachineEvent[] {
    const events = this.#events.get(seq) ?? [];
    this.#events.delete(seq);
    return events;
  }

  /** True once after the state was replaced: events are missing. */
  wasReplaced(): boolean {
    const replaced = this.#replaced;
    this.#replaced = false;
    return replaced;
  }
}
