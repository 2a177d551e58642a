/**
 * Timers of `Clock` let the process end. That is right for what goes on in the background, but who awaits a lock or the end of an auction in a mesh of one
 * process, with no socket open, must see it.
 */

/** Longer than any wait; it never matters when it fires. */
const forever = 0x7fff_ffff;

/** Keeps the process alive until the function returned is called. */
export function keepAlive(): () => void {
  const timer = setInterval(() => undefined, forever);
  return () => clearInterval(timer);
}
