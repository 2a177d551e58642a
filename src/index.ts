/** The public interface of `quorate`, and nothing else. */
export { ensureNodeKey } from './composition/node-key.ts';
export type { FeedStatus, MeshStatus, PeerStatus } from './composition/status.ts';
export { type ControlOptions, type ControlServer, serveControl } from './control/server.ts';
export { type ErrorCode, type ErrorData, isQuorateError, QuorateError } from './errors.ts';
export { createMesh, type Mesh, type MeshEvents } from './mesh.ts';
export { isNodeId, type NodeId } from './node-id.ts';
export type { CoordinationOptions, Logger, MeshOptions } from './options.ts';
export type {
  Atoms,
  Counter,
  MapChange,
  MapEntry,
  MapPage,
  ReadOptions,
  Sequence,
  StrongMap,
  Swap,
  Versioned,
  WriteOptions,
} from './protocols/coordination/atoms/atoms.ts';
export type {
  Auction,
  AuctionCallOptions,
  AuctionMechanism,
  AuctionOptions,
  AuctionPhase,
  AuctionResult,
  AuctionState,
  AuctionSummary,
  AuctionTerms,
  BidAnswer,
  Bidder,
  BidOptions,
  BidQuestion,
  BidReceipt,
} from './protocols/coordination/auctions/auctions.ts';
export { type AuctionStatement, readAuctionCertificate } from './protocols/coordination/auctions/statement.ts';
export type {
  ArriveOptions,
  Barrier,
  BarrierOptions,
  BarrierPassage,
  BarrierStatus,
  LossRule,
} from './protocols/coordination/barrier/barrier.ts';
export type { Certificate } from './protocols/coordination/certificates/certificate.ts';
export {
  type CertificateJson,
  certificateFromJson,
  certificateToJson,
  decodeCertificate,
  encodeCertificate,
} from './protocols/coordination/certificates/certificate-codec.ts';
export {
  type CertificateProblem,
  type CertificateTrust,
  type Certified,
  type EpochTrust,
  type GroupTrust,
  type LocalTrust,
  verifyCertificate,
} from './protocols/coordination/certificates/verify.ts';
export type { Coordination, CoordinationStatus, ReplicaHealth } from './protocols/coordination/coordination.ts';
export type {
  CampaignOptions,
  Election,
  Grant,
  GrantHolder,
  GrantInspection,
  GrantOptions,
  GrantSort,
  Grants,
  GrantWaiter,
  Leader,
  Leadership,
  Lock,
  LockOptions,
  Permit,
  SemaphoreOptions,
} from './protocols/coordination/grants/grants.ts';
export { TokenGuard } from './protocols/coordination/grants/token-guard.ts';
export type { OrderingOptions, ReadConsistency } from './protocols/coordination/ordering.ts';
export { type CertifiedDecision, verifyDecision } from './protocols/coordination/proposals/decisions.ts';
export type {
  Ballot,
  Decision,
  DecisionOutcome,
  DecisionRule,
  Participant,
  ParticipantSpec,
  Proposal,
  ProposeOptions,
  Tally,
  Vote,
  Voter,
} from './protocols/coordination/proposals/proposals.ts';
export { defineStateMachine } from './protocols/coordination/state-machines/define.ts';
export type {
  StateMachine,
  StateMachineContext,
  StateMachineDefinition,
  StateMachineOptions,
} from './protocols/coordination/state-machines/state-machines.ts';
export type {
  ValidatorChange,
  ValidatorChangeOptions,
  ValidatorHealth,
  ValidatorSet,
  Validators,
} from './protocols/coordination/validators.ts';
export type {
  AgentBreakerStatus,
  BreakerChange,
  BreakerOptions,
  BreakerState,
  BreakerStatus,
  CallVerdict,
  CircuitBreaker,
} from './protocols/infrastructure/breaker/breaker.ts';
export type { Infrastructure, InfrastructureStatus } from './protocols/infrastructure/infrastructure.ts';
export type {
  RateDecision,
  RateLimiter,
  RateLimiterOptions,
  RateLimiterStatus,
} from './protocols/infrastructure/limiter/limiter.ts';
export type {
  Aggregation,
  Alert,
  AlertLevel,
  BuiltInMetric,
  Monitor,
  MonitorOptions,
  MonitorStatus,
} from './protocols/infrastructure/monitor/monitor.ts';
export type {
  Accusation,
  Member,
  MemberInfo,
  MemberState,
  Membership,
  MembershipEvents,
} from './protocols/membership/membership.ts';
export type { AnsweredBy } from './protocols/messaging/call-policy.ts';
export type { AgentLimits } from './protocols/messaging/limits.ts';
export type {
  AgentHandler,
  CallContext,
  CallOptions,
  CastOptions,
  MailboxStatus,
  Messaging,
  MethodHandler,
  StreamOptions,
  TraceContext,
} from './protocols/messaging/messaging.ts';
export type {
  AgentMetadata,
  AgentRecord,
  BuiltInStrategy,
  Criteria,
  CriteriaObject,
  Criterion,
  Health,
  Operator,
  OperatorObject,
  QueryOptions,
  ResolveContext,
  ResolveOptions,
  ResolveStrategy,
} from './protocols/registry/records.ts';
export type {
  BatchOperation,
  BatchResult,
  LostEvent,
  RegisterOptions,
  Registration,
  Registry,
  RegistryEvent,
} from './protocols/registry/registry.ts';
export type {
  AffectedAgents,
  AnnouncedVariable,
  BuiltInRule,
  ChoiceOptions,
  CompositeOptions,
  Contribution,
  CoordinateOptions,
  CustomRule,
  NumberOptions,
  ObservedVariable,
  RangePolicy,
  SetOptions,
  Variable,
  VariableChange,
  VariableExplanation,
  VariableNotice,
  VariableOptions,
  VariableScope,
  VariableStatus,
  Variables,
  VariableWrite,
} from './protocols/variables/variables.ts';
export type { AgentId, Value } from './value.ts';
