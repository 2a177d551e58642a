/**
 * Every expected failure of Quorate is a `QuorateError` with a stable `code`.
 *
 * Two kinds of failure exist. Expected ones (a peer is gone, a name is taken, an option is wrong) are
 * `QuorateError`s: the message says what happened, why, and what to do. A broken invariant of our own is
 * an `AssertionError` from `assert`, and stops the core it happened in. Bytes from outside never cause
 * either: they become a verdict at the boundary.
 */
export type ErrorCode =
  // Options, arguments and values, found before anything happened.
  | 'INVALID_OPTIONS'
  | 'INVALID_ARGUMENT'
  | 'INVALID_CRITERIA'
  | 'INVALID_METADATA'
  | 'UNSUPPORTED_VALUE'
  | 'PAYLOAD_TOO_LARGE'
  // Starting, identity and joining.
  | 'PORT_IN_USE'
  | 'DATA_DIR_LOCKED'
  | 'DATA_DIR_UNUSABLE'
  | 'KEY_INVALID'
  | 'IDENTITY_IN_USE'
  | 'WRONG_MESH'
  | 'WRONG_VERSION'
  | 'WRONG_NETWORK_KEY'
  | 'NOT_ALLOWED'
  | 'PEER_UNREACHABLE'
  | 'STOPPED'
  // Registry.
  | 'ALREADY_REGISTERED'
  | 'NOT_REGISTERED'
  | 'NO_MATCH'
  | 'LIMIT_EXCEEDED'
  // Calls: the three outcomes, and the handler's own failure.
  | 'NOT_DELIVERED'
  | 'REJECTED'
  | 'UNKNOWN_OUTCOME'
  | 'HANDLER_FAILED'
  // Agreement: no order could be had, or what was asked of the ordered state cannot be.
  | 'NO_VALIDATORS'
  | 'NO_QUORUM'
  | 'VALIDATOR_FAILED'
  | 'STATE_MACHINE_MISSING'
  | 'CERTIFICATE_INVALID'
  | 'NOT_SETTLED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'NOT_PERMITTED'
  | 'TOO_FEW_PARTICIPANTS'
  | 'TIMED_OUT'
  | 'GRANT_LOST'
  | 'STALE_TOKEN'
  | 'CONFLICT'
  | 'BARRIER_BROKEN'
  // Variables.
  | 'OUT_OF_RANGE'
  | 'DEFINITION_CONFLICT'
  // Rate limits.
  | 'RATE_LIMITED'
  // The control socket of the command line.
  | 'CONTROL_UNAVAILABLE';

/** Plain, loggable facts about a failure; each code documents its own keys where it is thrown. */
export type ErrorData = Readonly<Record<string, unknown>>;

/**
 * The one error class of the public interface. Branch on `code`; `data` holds the facts, `cause` the
 * underlying error where there is one.
 *
 * @example
 * try { await mesh.call('planner', { goal }) } catch (error) {
 *   if (isQuorateError(error, 'NOT_DELIVERED')) retrySafely()
 * }
 */
export class QuorateError extends Error {
  override readonly name = 'QuorateError';
  readonly code: ErrorCode;
  readonly data: ErrorData;

  constructor(code: ErrorCode, message: string, data: ErrorData = {}, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.data = data;
  }

  toJSON(): { name: string; code: ErrorCode; message: string; data: ErrorData } {
    return { name: this.name, code: this.code, message: this.message, data: this.data };
  }
}

/** True for a `QuorateError`, and for one with that code when a code is given. */
export function isQuorateError(error: unknown, code?: ErrorCode): error is QuorateError {
  return error instanceof QuorateError && (code === undefined || error.code === code);
}
