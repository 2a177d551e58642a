/** An honest client on virtual time. */
import type { NodeId } from '../../../src/node-id.ts';
import { type ClientState, stepClient } from '../../../src/protocols/pbft/client.ts';
import type { ClientInput, CommandOutcome } from '../../../src/protocols/pbft/client-contract.ts';
import { encodeMessage } from '../../../src/protocols/pbft/encoding.ts';
import { validate } from '../../../src/protocols/pbft/validate.ts';
import type { Keys } from './keys.ts';
import type { World } from './world.ts';

export class SimulatedClient {
  readonly state: ClientState;
  readonly #world: World;
  readonly #keys: Keys;
  readonly #onSettled: (id: number, outcome: CommandOutcome) => void;
  #wakeAt = Number.NEGATIVE_INFINITY;

  constructor(world: World, keys: Keys, state: ClientState, onSettled: (id: number, outcome: CommandOutcome) => void) {
    this.#world = world;
    this.#keys = keys;
    this.state = state;
    this.#onSettled = onSettled;
  }

  get id(): NodeId {
    return this.state.self;
  }

  receive(from: NodeId, bytes: Uint8Array): void {
    const accepted = validate(bytes, from, this.state.context, this.#keys.verify);
    if (typeof accepted !== 'string') this.feed({ type: 'message', accepted });
  }

  feed(input: ClientInput): void {
    const world = this.#world;
    const now = { monotonicMs: world.now, wallMs: world.now };
    for (const effect of stepClient(this.state, input, now)) {
      if (effect.type === 'settled') this.#onSettled(effect.id, effect.outcome);
      else if (effect.type === 'send') {
        const bytes = encodeMessage(effect.message);
        for (const to of effect.to) world.send(this.id, to, bytes);
      } else this.#wake(effect.atMs);
    }
  }

  #wake(at: number): void {
    if (this.#wakeAt > this.#world.now && this.#wakeAt <= at) return;
    this.#wakeAt = at;
    this.#world.at(at, () => {
      if (this.#wakeAt !== at) return;
      this.#wakeAt = Number.NEGATIVE_INFINITY;
      this.feed({ type: 'wake' });
    });
  }
}
