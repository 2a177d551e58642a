/** What the parent and its workers say to each other. Everything travels as JSON. */
import type { MeshOptions } from '../../../src/options.ts';

export type Setup = Omit<MeshOptions, 'logger' | 'metadata'>;

/** One thing a worker does. Those from `cut` on are faults, the others are operations on the mesh. */
export type Task =
  | { readonly do: 'get'; readonly key: string }
  | { readonly do: 'set'; readonly key: string; readonly value: string }
  | { readonly do: 'cas'; readonly key: string; readonly version: number; readonly value: string }
  | {
      readonly do: 'lock';
      readonly name: string;
      readonly leaseMs: number;
      readonly wait: boolean;
      readonly timeoutMs: number;
    }
  | { readonly do: 'held'; readonly name: string; readonly token: number }
  | { readonly do: 'unlock'; readonly name: string; readonly token: number }
  | { readonly do: 'inspect'; readonly name: string }
  | { readonly do: 'claim'; readonly name: string }
  | { readonly do: 'unclaim'; readonly name: string }
  | { readonly do: 'owner'; readonly name: string }
  | { readonly do: 'health' }
  /** Closes all connections with these peers, and refuses new ones. */
  | { readonly do: 'cut'; readonly peers: readonly string[] }
  | { readonly do: 'mend'; readonly peers: readonly string[] }
  /** The wall clock of the process goes wrong by so much. */
  | { readonly do: 'clock'; readonly offsetMs: number };

export interface Results {
  get: { readonly value: string; readonly version: number } | null;
  set: { readonly version: number };
  cas:
    | { readonly ok: true; readonly version: number }
    | { readonly ok: false; readonly version: number; readonly value: string | null };
  lock: { readonly token: number };
  /** False: it was lost; whether the log knows is another question. */
  held: boolean;
  /** True: it was held until this released it. False: nobody here knows which came first, the release or the end of the lease. */
  unlock: boolean;
  inspect: { readonly node: string; readonly token: number } | null;
  claim: { readonly token: number };
  /** True: the validators said that they released it. */
  unclaim: boolean;
  owner: { readonly node: string; readonly token: number } | null;
  /** The last sequence each validator executed; null of one that does not answer. */
  health: readonly (number | null)[];
  cut: null;
  mend: null;
  clock: null;
}

export interface Request {
  readonly number: number;
  readonly task: Task;
}

export type Answer<Result> =
  | { readonly ok: true; readonly value: Result }
  | {
      readonly ok: false;
      readonly code: string;
      readonly message: string;
      readonly data: Readonly<Record<string, unknown>>;
    };

export type Said =
  | { readonly type: 'ready'; readonly id: string; readonly address: string }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'answer'; readonly number: number; readonly answer: Answer<unknown> }
  /** A name is not this node's any more, although nobody here released it. */
  | { readonly type: 'lost'; readonly name: string; readonly token: number };
