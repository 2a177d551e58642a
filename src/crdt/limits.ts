/**
 * How much one author may ask of everybody else. Every node checks these of what it hears; the author
 * checks them of itself, so that an honest one never meets them elsewhere. Nodes of one mesh should use
 * the same figures: an author over another's limits is not punished, but its newest data stays out there.
 */
export interface FeedLimits {
  /** Largest envelope of kind `delta`. Bytes. */
  readonly maxDeltaBytes: number;
  /** Largest envelope of kind `snapshot`, and so of the state of one feed. Bytes. */
  readonly maxSnapshotBytes: number;
  /** Longest key. Bytes of UTF-8. */
  readonly maxKeyBytes: number;
  /** Largest encoded value. Bytes. */
  readonly maxValueBytes: number;
  /** Live keys in one feed. */
  readonly maxKeys: number;
  /** Snapshot and deltas after it that are kept of one feed, for passing on. Bytes. */
  readonly maxFeedBytes: number;
  /** The same, as a count of envelopes. */
  readonly maxFeedEnvelopes: number;
  /** Kept bytes of all authors together. */
  readonly maxTotalBytes: number;
  /** Authors known at a time. */
  readonly maxAuthors: number;
  /** Departed authors remembered by their last heads; the oldest are dropped first. */
  readonly maxForgotten: number;
  /** An envelope counts as one of these for each so many bytes, and as one at least. */
  readonly usualEnvelopeBytes: number;
  /** Envelopes per second one author may have applied by broadcast, on average. */
  readonly envelopesPerSecond: number;
  /** Envelopes it may have applied at once after a pause. */
  readonly envelopeBurst: number;
  /** An author compacts when the deltas outweigh the state by this factor … */
  readonly compactFactor: number;
  /** … and weigh at least this much. Bytes. */
  readonly compactFloorBytes: number;
}

export const defaultFeedLimits: FeedLimits = {
  // Gossip re-sends each message over several links, and gossipsub forgets a peer whose frame is over its limit.
  maxDeltaBytes: 64 * 1024,
  // 10,000 agents of 200 bytes on one node are 2 MB; twice that.
  maxSnapshotBytes: 4 * 1024 * 1024,
  // An agent id has up to 256 bytes; an accusation's key is a prefix and a node id.
  maxKeyBytes: 512,
  // Half a delta, so that any single entry fits in one.
  maxValueBytes: 32 * 1024,
  // Guess: ten times what one process is known to host.
  maxKeys: 100_000,
  // A full snapshot and twice its weight in deltas (compactFactor), and one delta more.
  maxFeedBytes: 13 * 1024 * 1024,
  // A joiner verifies them all at about 100 µs each: 1.6 s at the very worst feed.
  maxFeedEnvelopes: 16_384,
  // Guess: what a process that hosts agents can spare.
  maxTotalBytes: 256 * 1024 * 1024,
  // Ten times the 100 nodes the design is measured with.
  maxAuthors: 1024,
  // About 250 bytes each: 1 MB.
  maxForgotten: 4096,
  // Four stores with a flush every 5 ms are 800 per second; a liar costs others 11 % of a core.
  envelopesPerSecond: 1000,
  // Ten agents' entries. So 1 MB a second of one author is applied, and 2 MB at once; at about 2 µs an entry the smallest ones cost others a fifth of a core.
  usualEnvelopeBytes: 1024,
  envelopeBurst: 2000,
  // Snapshots are at most half of the bytes that deltas are. Measured, 100 authors of 10 entries, 100,000
  // overwrites: 17 % more bytes sent, 0.43 MB kept instead of 25.5 MB.
  compactFactor: 2,
  // About 16 small deltas: a joiner's verification of 100 small feeds stays below 0.2 s.
  compactFloorBytes: 4096,
};
