/** What a check of `quorate doctor` came to. */
export interface Diagnosis {
  readonly check: string;
  readonly level: 'ok' | 'warn' | 'fail';
  readonly found: string;
  /** What to do; absent when all is well. */
  readonly advice?: string;
}
