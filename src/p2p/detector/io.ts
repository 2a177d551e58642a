/** What goes into the failure detector, and what comes out of it. */
import type { NodeId } from '../../node-id.ts';
import type { Subject } from './watch.ts';

/** A control frame as the core sees it: targets are node ids, undefined for one nobody here knows. */
export type PeerFrame =
  | { readonly type: 'probe'; readonly seq: number; readonly lagMs: number }
  | { readonly type: 'ack'; readonly seq: number; readonly lagMs: number }
  | { readonly type: 'ping-req'; readonly seq: number; readonly target: NodeId | undefined }
  | { readonly type: 'ping-reply'; readonly seq: number; readonly ok: boolean };

export type DetectorInput =
  /** Whom to watch from now on; all of them. */
  | { readonly type: 'subjects'; readonly subjects: readonly Subject[] }
  | { readonly type: 'connected'; readonly peer: NodeId }
  | { readonly type: 'disconnected'; readonly peer: NodeId }
  /** A dial failed; `refused` when something answered at once that nobody listens, not when it timed out. */
  | { readonly type: 'dial-failed'; readonly peer: NodeId; readonly refused: boolean }
  | { readonly type: 'frame'; readonly peer: NodeId; readonly frame: PeerFrame }
  | { readonly type: 'heard'; readonly peer: NodeId }
  /** The peer raised its incarnation: it lives, whatever we hear or do not hear ourselves. */
  | { readonly type: 'refuted'; readonly peer: NodeId }
  /** We were accused ourselves: what we hold against others is to be found out anew, and retracted or said again. */
  | { readonly type: 'recheck' }
  /** Time passed; `lateMs` is how much later than asked for the call came. */
  | { readonly type: 'tick'; readonly lateMs: number };

export type Evidence = 'connection-reset' | 'missed-probes';

export type DetectorEffect =
  | { readonly type: 'send'; readonly to: NodeId; readonly frame: PeerFrame }
  /** Connect to the peer; a failure comes back as `dial-failed`, success as `connected`. */
  | { readonly type: 'dial'; readonly peer: NodeId }
  | { readonly type: 'suspect'; readonly peer: NodeId; readonly on: boolean }
  | { readonly type: 'accuse'; readonly peer: NodeId; readonly evidence: Evidence; readonly detail: string }
  | { readonly type: 'retract'; readonly peer: NodeId };
