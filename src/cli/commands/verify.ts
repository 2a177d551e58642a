/** `quorate verify`: checks a certificate with nothing but the file and whom the user trusts; no node is asked. */
import type { Command } from 'commander';
import {
  type Certificate,
  type CertificateTrust,
  isNodeId,
  isQuorateError,
  type NodeId,
  QuorateError,
  readAuctionCertificate,
  verifyCertificate,
  verifyDecision,
} from '../../index.ts';
import { readCertificate } from '../certificate-file.ts';
import { pc } from '../colors.ts';
import { type CommandContext, parseList, parseNumber, runAction } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';
import { plural, shortId } from '../output.ts';
import { describeResult } from './auction.ts';
import { describeDecision } from './proposals.ts';

interface VerifyOptions {
  readonly validators?: string;
  readonly f?: string;
  readonly name: string;
  readonly local?: string;
  readonly json?: boolean;
}

export function registerVerify(program: Command, context: CommandContext): void {
  program
    .command('verify')
    .argument('<file>', 'a certificate, from --certificate or encodeCertificate')
    .description('check a certificate offline')
    .option('--validators <ids>', 'the node ids that founded the group: id,id,…')
    .option('--f <n>', 'how many of them may lie (default: as many as their number bears)')
    .option('--name <name>', 'name of the mesh', 'default')
    .option('--local <id>', 'instead: the one node of a mesh of one process')
    .option('--json', 'print JSON')
    .action(
      runAction(
        context,
        (_file: string, options: VerifyOptions) => options.json === true,
        async (file, options) => {
          const trust = trustOf(options);
          const certificate = readCertificate(file);
          context.terminal.out(prove(certificate, trust, options.json === true));
          return exitCodes.ok;
        },
      ),
    );
}

function trustOf({ validators, f, name, local }: VerifyOptions): CertificateTrust {
  if ((validators === undefined) === (local === undefined)) {
    throw new QuorateError(
      'INVALID_ARGUMENT',
      'Whom do you trust? Give --validators with the ids of the founders (from the operators, not from the certificate), or --local.',
    );
  }
  if (local !== undefined) return { local: nodeId(local) };
  const founders = parseList('validators', validators ?? '').map(nodeId);
  return { name, validators: founders, f: parseNumber('f', f, 0) ?? Math.floor((founders.length - 1) / 3) };
}

function nodeId(typed: string): NodeId {
  if (isNodeId(typed)) return typed;
  throw new QuorateError('INVALID_ARGUMENT', `'${typed}' is no node id (12D3KooW…); whole ids are needed here.`);
}

function prove(certificate: Certificate, trust: CertificateTrust, json: boolean): string {
  const { query, statement, signers, epoch } = verifyCertificate(certificate, trust);
  const signed = `signed by ${plural(signers.length, 'validator')} of epoch ${epoch}: ${signers.map(shortId).join(', ')}`;
  const say = (facts: object, text: string): string =>
    json ? `${toJson({ ...facts, signers, epoch })}\n` : `${pc.green('genuine')}, ${signed}\n${text}`;
  const decision = ifSo(() => verifyDecision(certificate, trust));
  if (decision !== undefined) {
    return say(
      decision,
      `proposal ${decision.id}: ${toJson(decision.proposal.proposal)}\n${describeDecision(decision)}`,
    );
  }
  const auction = ifSo(() => readAuctionCertificate(certificate));
  if (auction !== undefined) {
    return say(auction, `auction ${auction.auction}: ${toJson(auction.resource)}\n${describeResult(auction)}`);
  }
  return say({ query, statement }, `asked:  ${toJson(query)}\nstated: ${toJson(statement, 2)}\n`);
}

/** Undefined for a certificate that is genuine and of something else. */
function ifSo<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isQuorateError(error, 'CERTIFICATE_INVALID')) return undefined;
    throw error;
  }
}
