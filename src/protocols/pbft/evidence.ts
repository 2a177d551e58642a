/**
 * Proof that a replica lied: two statements it signed that no honest replica makes both of. An honest one
 * never does, because each promise is on disk before it is sent and is sent again unchanged. Anybody who
 * knows the group can check the pair offline.
 */
import type { NodeId } from '../../node-id.ts';
import type { Evidence } from './effects.ts';
import { encodeMessage } from './encoding.ts';
import type { Checkpoint, Message, PrePrepare, Prepare, ViewChange } from './messages.ts';
import { report, type Turn } from './state.ts';
import { type ValidationContext, type Verify, validate } from './validate.ts';

/** Offences of which the own record is kept; a liar cannot fill memory with more. */
const maxAccused = 256;

type Statement = PrePrepare | Prepare | Checkpoint | ViewChange;

/** What a statement is about: one replica may sign one content for each. */
function subject(statement: Statement): string {
  const { type, epoch, replica } = statement;
  if (type === 'checkpoint') return `${type}/${epoch}/${statement.seq}/${replica}`;
  if (type === 'viewChange') return `${type}/${epoch}/${statement.view}/${replica}`;
  return `${type}/${epoch}/${statement.view}/${statement.seq}/${replica}`;
}

function content(statement: Statement): string {
  return statement.type === 'viewChange' ? Buffer.from(statement.body).toString('latin1') : statement.digest;
}

/** Reports two statements of one replica that contradict each other; once for each subject. */
export function accuse(turn: Turn, first: Statement, second: Statement): void {
  const about = subject(first);
  const { accused } = turn.state;
  if (accused.has(about) || accused.size >= maxAccused) return;
  accused.add(about);
  report(turn, {
    kind: 'evidence',
    evidence: {
      offender: first.replica,
      kind: first.type,
      first: encodeMessage(withoutBatch(first)),
      second: encodeMessage(withoutBatch(second)),
    },
  });
}

const withoutBatch = (statement: Statement): Statement =>
  statement.type === 'prePrepare' ? { ...statement, batch: undefined } : statement;

/** Whether `evidence` convicts its offender; for whoever was shown it. */
export function checkEvidence(evidence: Evidence, context: ValidationContext, verify: Verify): boolean {
  const read = (bytes: Uint8Array): Message | undefined => {
    const accepted = validate(bytes, evidence.offender as NodeId, context, verify);
    return typeof accepted === 'string' ? undefined : accepted.message;
  };
  const first = read(evidence.first);
  const second = read(evidence.second);
  if (!isStatement(first) || !isStatement(second)) return false;
  if (first.replica !== evidence.offender || first.type !== evidence.kind) return false;
  return subject(first) === subject(second) && content(first) !== content(second);
}

function isStatement(message: Message | undefined): message is Statement {
  return (
    message?.type === 'prePrepare' ||
    message?.type === 'prepare' ||
    message?.type === 'checkpoint' ||
    message?.type === 'viewChange'
  );
}
