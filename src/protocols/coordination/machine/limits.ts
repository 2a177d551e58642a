/** Bounds of the coordination machine; every replica must have the same, so they are constants. */

/** One command, encoded, bytes. */
export const maxCommandBytes = 64 * 1024;
/** One answer or event, encoded, bytes. A larger answer is a failure of its command. */
export const maxAnswerBytes = 128 * 1024;
/** A user's value (a map entry, a proposal, a vote), encoded, bytes. */
export const maxValueBytes = 32 * 1024;
/** Names of locks, counters, maps and the like; keys; agent ids. Characters. */
export const maxNameLength = 256;
/** Things of one sort that exist at once (locks, counters, open proposals …), unless a reducer says otherwise. */
export const maxThings = 100_000;
/** Events that nobody took; older ones are dropped, and their subscribers read again. */
export const maxUndeliveredEvents = 10_000;
