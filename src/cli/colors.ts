/**
 * Colours on a terminal, none elsewhere: what goes into a file or another program stays plain, also in
 * continuous integration, where picocolors by itself would colour. NO_COLOR and FORCE_COLOR are heeded.
 */
import picocolors from 'picocolors';

function wanted(env: NodeJS.ProcessEnv, isTty: boolean): boolean {
  if (env['NO_COLOR']) return false;
  if (env['FORCE_COLOR']) return env['FORCE_COLOR'] !== '0';
  return isTty && env['TERM'] !== 'dumb';
}

export const pc = picocolors.createColors(wanted(process.env, process.stdout.isTTY === true));
