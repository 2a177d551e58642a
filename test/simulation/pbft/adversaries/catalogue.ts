/** Every adversary by name. */
import type { Adversary, Corruption } from '../node.ts';
import { amnesiac } from './amnesiac.ts';
import { badSignatureFlooder } from './bad-signature-flooder.ts';
import { censor } from './censor.ts';
import { certificateForger } from './certificate-forger.ts';
import { doubleVoter } from './double-voter.ts';
import { equivocator } from './equivocator.ts';
import { garbler } from './garbler.ts';
import { lyingCheckpoint } from './lying-checkpoint.ts';
import { newViewLiar } from './new-view-liar.ts';
import { reconfigurationAttacker } from './reconfiguration-attacker.ts';
import { replayer } from './replayer.ts';
import { selectiveSender } from './selective-sender.ts';
import { silent } from './silent.ts';
import { slanderer } from './slanderer.ts';
import { slow } from './slow.ts';
import { staleViewSpammer } from './stale-view-spammer.ts';
import { stateCorrupter } from './state-corrupter.ts';
import { timeLiar } from './time-liar.ts';
import { twins } from './twins.ts';

export type Corrupt = (corruption: Corruption, restart: () => void) => Adversary;

const catalogue: Readonly<Record<string, Corrupt>> = {
  amnesiac,
  badSignatureFlooder,
  censor,
  certificateForger,
  doubleVoter,
  equivocator,
  garbler,
  lyingCheckpoint,
  newViewLiar,
  reconfigurationAttacker,
  replayer,
  selectiveSender,
  silent,
  slanderer,
  slow,
  staleViewSpammer,
  stateCorrupter,
  timeLiar,
  twins,
};

export const adversaryNames: readonly string[] = Object.keys(catalogue);

/** The adversary of that name, in charge of that replica. */
export function corrupt(name: string, corruption: Corruption, restart: () => void): Adversary {
  const make = catalogue[name];
  if (make === undefined) throw new Error(`No adversary is called ${name}.`);
  return make(corruption, restart);
}
