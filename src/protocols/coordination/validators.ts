/** Who decides in this mesh, and how that is changed while it runs. */
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import { maxFaulty, quorum } from '../pbft/quorum.ts';
import type { GroupOrdering } from './group/group-ordering.ts';
import { idOf } from './group/learning.ts';
import type { OrderingOptions } from './ordering.ts';

export interface ValidatorHealth {
  readonly id: NodeId;
  readonly primary: boolean;
  /** Undefined when it did not answer in time. */
  readonly health:
    | {
        readonly epoch: number;
        readonly view: number;
        readonly active: boolean;
        readonly executed: number;
        readonly stable: number;
        /** Batches it is behind the furthest of them. */
        readonly lag: number;
        readonly logBytes: number;
      }
    | undefined;
}

export interface ValidatorSet {
  /** Hexadecimal id of the group: what `coordination.group` pins. */
  readonly group: string;
  readonly epoch: number;
  readonly validators: readonly NodeId[];
  readonly f: number;
  /** How many must agree. */
  readonly quorum: number;
}

export interface ValidatorChange {
  /** `voted`: this vote counted, others are missing. `decided`: the change is decided and comes into force by itself. */
  readonly state: 'voted' | 'decided';
  readonly validators: readonly NodeId[];
  readonly f: number;
  /** The new set rules after this batch; undefined while votes are missing. */
  readonly effectiveAfter: number | undefined;
}

export interface ValidatorChangeOptions extends OrderingOptions {
  /** How many of the new set may lie. Default: as before in a group with f = 0; else as many as the new number bears. */
  readonly f?: number | undefined;
}

/**
 * Changes are votes: on each validator an operator says the same (`quorate validators add …`), and a quorum decides; with `changes: 'trust'` the other validators
 * second by themselves. A new validator must run already, as a member of the mesh with a `dataDir`. All reject with `NOT_PERMITTED` on a node that is no
 * validator, `INVALID_ARGUMENT` for a set that is none, and like any command.
 */
export interface Validators {
  /** The present set, as this node knows it with proof. Throws `NO_VALIDATORS` while none is known. */
  list(): ValidatorSet;
  /** Asks each validator how it is; those that do not answer within `timeoutMs` (default 1,000) have no `health`. */
  health(options?: OrderingOptions): Promise<readonly ValidatorHealth[]>;
  add(node: NodeId, options?: ValidatorChangeOptions): Promise<ValidatorChange>;
  remove(node: NodeId, options?: ValidatorChangeOptions): Promise<ValidatorChange>;
  replace(node: NodeId, by: NodeId, options?: ValidatorChangeOptions): Promise<ValidatorChange>;
}

const healthTimeoutMs = 1_000;

/** Of a group over the network. */
export class GroupValidators implements Validators {
  readonly #ordering: GroupOrdering;

  constructor(ordering: GroupOrdering) {
    this.#ordering = ordering;
  }

  list(): ValidatorSet {
    const { definition, group } = this.#ordering;
    if (definition === undefined || group === undefined) {
      throw new QuorateError('NO_VALIDATORS', 'No validators of this mesh are known yet.', { asked: [] });
    }
    const { epoch, validators, f } = group;
    return { group: idOf(definition), epoch, validators, f, quorum: quorum(validators.length, f) };
  }

  async health(options: OrderingOptions = {}): Promise<readonly ValidatorHealth[]> {
    const answers = await this.#ordering.health({ ...options, timeoutMs: options.timeoutMs ?? healthTimeoutMs });
    const furthest = Math.max(0, ...[...answers.values()].map((health) => health?.executed ?? 0));
    // The view that most validators are in; a liar's word is one of many.
    const views = [...answers.values()]
      .flatMap((health) => (health === undefined ? [] : [health.view]))
      .sort((a, b) => a - b);
    const view = views[Math.floor(views.length / 2)];
    const ids = [...answers.keys()];
    return ids.map((id, index) => {
      const health = answers.get(id);
      const primary = view !== undefined && view % ids.length === index;
      return { id, primary, health: health === undefined ? undefined : { ...health, lag: furthest - health.executed } };
    });
  }

  add(node: NodeId, options: ValidatorChangeOptions = {}): Promise<ValidatorChange> {
    const { validators } = this.list();
    if (validators.includes(node)) throw invalid(`${node} is a validator already.`);
    return this.#change([...validators, node], options);
  }

  remove(node: NodeId, options: ValidatorChangeOptions = {}): Promise<ValidatorChange> {
    const { validators } = this.list();
    if (!validators.includes(node)) throw invalid(`${node} is no validator.`);
    if (validators.length === 1) throw invalid('The last validator cannot be removed; add another first.');
    return this.#change(
      validators.filter((id) => id !== node),
      options,
    );
  }

  replace(node: NodeId, by: NodeId, options: ValidatorChangeOptions = {}): Promise<ValidatorChange> {
    const { validators } = this.list();
    if (!validators.includes(node)) throw invalid(`${node} is no validator.`);
    if (validators.includes(by)) throw invalid(`${by} is a validator already.`);
    return this.#change(
      validators.map((id) => (id === node ? by : id)),
      options,
    );
  }

  async #change(validators: readonly NodeId[], options: ValidatorChangeOptions): Promise<ValidatorChange> {
    const before = this.list();
    if (!before.validators.includes(this.#ordering.self)) {
      throw new QuorateError(
        'NOT_PERMITTED',
        `Only validators vote on who is one, and ${this.#ordering.self} is none. Say it on each of: ${before.validators.join(', ')}.`,
        { reason: 'no-validator' },
      );
    }
    const f = options.f ?? (before.f === 0 ? 0 : maxFaulty(validators.length));
    const effective = await this.#ordering.reconfigure(validators, f, options);
    const decided = effective > 0;
    return { state: decided ? 'decided' : 'voted', validators, f, effectiveAfter: decided ? effective : undefined };
  }
}

/** Of a mesh of one process: itself. */
export class LocalValidators implements Validators {
  readonly #self: NodeId;
  readonly #group: string;

  constructor(self: NodeId, group: Uint8Array) {
    this.#self = self;
    this.#group = Buffer.from(group).toString('hex');
  }

  list(): ValidatorSet {
    return { group: this.#group, epoch: 0, validators: [this.#self], f: 0, quorum: 1 };
  }

  async health(): Promise<readonly ValidatorHealth[]> {
    const health = { epoch: 0, view: 0, active: true, executed: 0, stable: 0, lag: 0, logBytes: 0 };
    return [{ id: this.#self, primary: true, health }];
  }

  add(): Promise<ValidatorChange> {
    return this.#fixed();
  }

  remove(): Promise<ValidatorChange> {
    return this.#fixed();
  }

  replace(): Promise<ValidatorChange> {
    return this.#fixed();
  }

  async #fixed(): Promise<ValidatorChange> {
    throw new QuorateError(
      'NOT_PERMITTED',
      "A mesh of one process decides by itself; other validators need mode: 'cluster'.",
      { reason: 'local' },
    );
  }
}

function invalid(message: string): QuorateError {
  return new QuorateError('INVALID_ARGUMENT', message);
}
