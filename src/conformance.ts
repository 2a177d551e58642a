/** `quorate/conformance`: what any implementation of the protocols must do, for any test runner. */
export {
  type AtomsConformanceOptions,
  type AtomsSubject,
  atomsConformance,
} from './conformance/coordination-atoms.ts';
export {
  type AuctionConformanceOptions,
  type AuctionParty,
  type AuctionSubject,
  auctionConformance,
} from './conformance/coordination-auctions.ts';
export {
  type BarrierConformanceOptions,
  type BarrierSubject,
  type BarrierSubjectNode,
  barrierConformance,
} from './conformance/coordination-barrier.ts';
export {
  type GrantConformanceOptions,
  type GrantParty,
  type GrantSubject,
  grantConformance,
} from './conformance/coordination-grants.ts';
export {
  conformanceMachines,
  type StateMachinesConformanceOptions,
  type StateMachinesSubject,
  stateMachinesConformance,
} from './conformance/coordination-machines.ts';
export {
  type NamesConformanceOptions,
  type NamesSubject,
  type NamesSubjectNode,
  namesConformance,
} from './conformance/coordination-names.ts';
export {
  type ProposalConformanceOptions,
  type ProposalNode,
  type ProposalSubject,
  proposalConformance,
} from './conformance/coordination-proposals.ts';
export { checkDeterminism, type DeterminismOptions } from './conformance/determinism.ts';
export {
  type BreakerConformanceOptions,
  type BreakerNode,
  type BreakerSubject,
  breakerConformance,
} from './conformance/infrastructure-breaker.ts';
export {
  type LimitedNode,
  type LimiterConformanceOptions,
  type LimiterSubject,
  limiterConformance,
} from './conformance/infrastructure-limiter.ts';
export {
  type MonitorConformanceOptions,
  type MonitorParty,
  type MonitorSubject,
  monitorConformance,
} from './conformance/infrastructure-monitor.ts';
export {
  type MessagingConformanceOptions,
  type MessagingSubject,
  messagingConformance,
} from './conformance/messaging.ts';
export {
  type RegistryConformanceOptions,
  type RegistrySubject,
  registryConformance,
} from './conformance/registry.ts';
export {
  type VariablesConformanceOptions,
  type VariablesSubject,
  type VariablesSubjectNode,
  variablesConformance,
} from './conformance/variables.ts';
export { agreedVariablesConformance } from './conformance/variables-agreed.ts';
