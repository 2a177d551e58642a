/** What a mesh is made of, whatever its mode: the composition of a mode returns these, `mesh.ts` wraps them. */
import type { Clock, Rng } from '../clock.ts';
import type { Emitter } from '../emitter.ts';
import type { QuorateError } from '../errors.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { NodeId } from '../node-id.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Coordination } from '../protocols/coordination/coordination.ts';
import type { BreakerChange } from '../protocols/infrastructure/breaker/breaker.ts';
import type { Infrastructure } from '../protocols/infrastructure/infrastructure.ts';
import type { Alert } from '../protocols/infrastructure/monitor/monitor.ts';
import type { Member, MemberState, Membership } from '../protocols/membership/membership.ts';
import type { BaseMessaging } from '../protocols/messaging/base.ts';
import type { MessagingLimits } from '../protocols/messaging/limits.ts';
import type { Registry } from '../protocols/registry/registry.ts';
import type { Variables } from '../protocols/variables/variables.ts';
import type { FeedStatus, MeshStatus, PeerStatus } from './status.ts';

/** What an operator or an application may want to hear of. */
export interface MeshEvents {
  /** A member appeared (`previous` undefined) or changed its state. */
  member: { readonly member: Member; readonly previous: MemberState | undefined };
  /** An address to join by did not work; it is tried again for as long as the mesh runs. `error.code` says why. */
  joinFailed: { readonly address: string; readonly error: QuorateError };
  /** A node signed two histories or nonsense; its entries are ignored from now on. */
  quarantined: { readonly node: NodeId; readonly reason: string };
  /** Something that a peer sent, or a peer itself, was refused. */
  refused: { readonly peer: NodeId | undefined; readonly reason: string };
  /** Other validators decide from now on. */
  validators: { readonly epoch: number; readonly validators: readonly NodeId[]; readonly f: number };
  /** The validator of this process has stopped, and why: a full disk, a damaged log. The process goes on. */
  validatorFailed: { readonly error: QuorateError };
  /** A validator signed two contradicting messages. */
  equivocation: { readonly node: NodeId; readonly kind: string };
  /** A breaker of this node opened, let a probe through, or closed, on whosever word. */
  breaker: BreakerChange;
  /** A monitor of this node: an incident began, changed its level, or ended. Once on each node with the monitor. */
  alert: Alert;
  /** A variable that this node defined is defined differently by another, which was first. */
  definitionConflict: { readonly variable: string; readonly error: QuorateError };
  /** The mesh has stopped; `error` when it had to, e.g. because another process uses its identity. */
  stopped: { readonly error: QuorateError | undefined };
}

/** What differs between the modes, seen from `Mesh`. */
export interface MeshParts<Custom> {
  readonly id: NodeId;
  readonly registry: Registry<Custom>;
  readonly messaging: BaseMessaging;
  readonly membership: Membership;
  readonly coordination: Coordination;
  readonly variables: Variables;
  readonly infrastructure: Infrastructure;
  addresses(): readonly string[];
  peers(): readonly PeerStatus[];
  feeds(): readonly FeedStatus[];
  lag(): MeshStatus['lag'];
  traffic(): MeshStatus['traffic'];
  refused(): MeshStatus['refused'];
  pendingCalls(): number;
}

/** What a composition is given. */
export interface Assembly<Custom> {
  readonly options: ResolvedOptions<Custom>;
  readonly version: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly lifecycle: Lifecycle;
  readonly events: Emitter<MeshEvents>;
  /** Ends the mesh from within: it cannot go on. */
  readonly fail: (error: QuorateError) => void;
  /** Last resort for what nobody waits for; logs. */
  readonly onError: (error: unknown, where: string) => void;
}

/** How long running calls may take to end when the mesh stops, milliseconds: as long as a call may take unless said. */
const drainMs = 5_000;

/** Stops messaging as both modes do: no new calls, a while for those that run, then the end. */
export async function drainAndStop(messaging: BaseMessaging): Promise<void> {
  await messaging.drain(AbortSignal.timeout(drainMs));
  messaging.stop();
}

export function messagingLimits(calls: ResolvedOptions['calls']): Partial<MessagingLimits> {
  return {
    defaultTimeoutMs: calls.timeoutMs,
    retryRatio: calls.retryBudget,
    maxConcurrent: calls.maxConcurrent,
    mailbox: calls.mailboxSize,
    maxMessageBytes: calls.maxMessageBytes,
  };
}
