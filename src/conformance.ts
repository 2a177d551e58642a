/** `quorate/conformance`: what any implementation of the protocols must do, for any test runner. */
export { checkDeterminism, type DeterminismOptions } from './conformance/determinism.ts';
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
