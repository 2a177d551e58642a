/** What messaging allows itself and others, with the reason for each default. All plain data. */

export interface MessagingLimits {
  /** Deadline of a call that names none. Milliseconds; a person waits no longer. */
  readonly defaultTimeoutMs: number;
  /** How long a cast may wait and run when it names nothing. Nobody waits for it, hence longer than a call. */
  readonly castTimeoutMs: number;
  /** Invocations of one agent that run at the same time. Handlers mostly wait for others; 64 keeps a core busy. */
  readonly maxConcurrent: number;
  /** Messages waiting for one agent; one more is `REJECTED` with reason `mailbox-full`. At 1 ms each, a second of work. */
  readonly mailbox: number;
  /** Encoded size of one message, reply or stream item. Bytes. Larger things are streamed. */
  readonly maxMessageBytes: number;
  /** Larger frames travel on a channel of their own, so that small calls do not queue behind them. 16 KiB is one TLS record. */
  readonly bulkThresholdBytes: number;
  /** Calls from here to one peer without an answer yet; one more is `REJECTED` with reason `overloaded`. At most 65,535. */
  readonly maxOutgoingCallsPerPeer: number;
  /** Frames queued here for one peer that does not read. Bytes; beyond, `REJECTED` with reason `overloaded`. */
  readonly maxOutgoingBytesPerPeer: number;
  /** Calls of one peer that wait or run here; one more is refused, so that no peer takes a node for itself. */
  readonly maxInboundCallsPerPeer: number;
  /** Encoded size of the messages of one peer that wait or run here. Bytes. */
  readonly maxInboundBytesPerPeer: number;
  /** Streams one peer may have open towards this node, and this node towards a peer. */
  readonly maxInboundStreamsPerPeer: number;
  /** Streams this node may have open towards others; one more is `REJECTED` with reason `stream-limit`. */
  readonly maxOutgoingStreams: number;
  /** Stream items sent and not yet read by the other side. Bytes, each way, each stream. */
  readonly streamWindowBytes: number;
  /** A stream whose reader takes nothing for so long is ended. Milliseconds. Long enough for a person at a prompt. */
  readonly streamStallMs: number;
  /** How long a reply is kept for repeats of its idempotency key. Milliseconds; longer than anybody retries. */
  readonly dedupMs: number;
  /** Keys remembered, for all callers and for each. The oldest answered ones are forgotten first. */
  readonly dedupEntries: number;
  readonly dedupEntriesPerCaller: number;
  /** Size of all remembered replies. Bytes. */
  readonly dedupBytes: number;
  /** Retries as a share of calls, and how many may come in a burst. From gRPC and Finagle: 10 %. */
  readonly retryRatio: number;
  readonly retryBurst: number;
  /** A reply waits at most so long for the registry to show what its handler registered. Milliseconds; ten times the slowest replication seen. */
  readonly catchUpMs: number;
  /** A call follows an agent that moved at most so often; from the design. */
  readonly maxMoves: number;
}

export const defaultMessagingLimits: MessagingLimits = {
  defaultTimeoutMs: 5_000,
  castTimeoutMs: 60_000,
  maxConcurrent: 64,
  mailbox: 1_024,
  maxMessageBytes: 4 * 1024 * 1024,
  bulkThresholdBytes: 16 * 1024,
  maxOutgoingCallsPerPeer: 8_192,
  maxOutgoingBytesPerPeer: 32 * 1024 * 1024,
  maxInboundCallsPerPeer: 4_096,
  maxInboundBytesPerPeer: 32 * 1024 * 1024,
  maxInboundStreamsPerPeer: 64,
  maxOutgoingStreams: 1_024,
  streamWindowBytes: 256 * 1024,
  streamStallMs: 120_000,
  dedupMs: 300_000,
  dedupEntries: 16_384,
  dedupEntriesPerCaller: 4_096,
  dedupBytes: 32 * 1024 * 1024,
  retryRatio: 0.1,
  retryBurst: 10,
  catchUpMs: 1_000,
  maxMoves: 2,
};

/** Longest deadline that may be asked for: it travels as 32 bits of milliseconds. About 24 days. */
export const maxTimeoutMs = 0x7fff_ffff;
/** Bytes of UTF-8. */
export const maxAgentIdBytes = 256;
export const maxMethodBytes = 256;
export const maxKeyBytes = 256;
export const maxTraceBytes = 512;
/** Header fields of a frame before its payload, at their longest. */
export const maxHeaderBytes = 2_048;

/** Of one agent; what is left out comes from the node's limits. */
export interface AgentLimits {
  /** 1 makes the agent an actor: one message after the other, in order of arrival. */
  readonly maxConcurrent?: number;
  readonly mailbox?: number;
}
