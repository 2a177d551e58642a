import { expect, test } from 'vitest';
import { EventFeed } from '../../../../src/protocols/coordination/group/event-feed.ts';
import type { GroupFrame } from '../../../../src/protocols/coordination/group/frames.ts';
import { foundingGroup } from '../../../../src/protocols/pbft/group.ts';
import { identityOf } from '../barrier/table.ts';

const validators = [0, 1, 2, 3].map((n) => identityOf(n).id);

function setUp() {
  const sent: GroupFrame[] = [];
  const heard: string[] = [];
  const feed = new EventFeed(
    foundingGroup(validators, 1),
    (_, frame) => sent.push(frame),
    (error) => {
      throw error;
    },
  );
  return {
    feed,
    heard,
    frames: (type: GroupFrame['type']) => sent.filter((frame) => frame.type === type).length,
    subscribe: (topic: string) =>
      feed.subscribe(topic, { onEvent: () => heard.push('event'), onGap: () => heard.push('gap') }),
    confirm(topic: string) {
      for (const validator of validators) feed.onFrame(validator, { type: 'subscribed', topic });
    },
    tell(topic: string, revision: number) {
      for (const validator of validators) {
        feed.onFrame(validator, { type: 'event', topic, revision, payload: Uint8Array.of(revision) });
      }
    },
  };
}

test('one liar tells no event, f + 1 alike tell it once', () => {
  const { feed, subscribe, confirm, heard, tell } = setUp();
  subscribe('a');
  confirm('a');
  heard.length = 0;
  feed.onFrame(validators[0]!, { type: 'event', topic: 'a', revision: 9, payload: Uint8Array.of(1) });
  expect(heard).toEqual([]);
  tell('a', 1);
  expect(heard).toEqual(['event']);
});

test('who subscribes again soon is told at once, asks nobody, and has missed nothing', () => {
  const { subscribe, confirm, heard, tell, frames } = setUp();
  const end = subscribe('a');
  confirm('a');
  expect(heard).toEqual(['gap']);
  end();
  tell('a', 1);
  expect(heard).toEqual(['gap']);
  subscribe('a');
  tell('a', 2);
  expect(heard).toEqual(['gap', 'event']);
  expect(frames('subscribe')).toBe(4);
  expect(frames('unsubscribe')).toBe(0);
});

test('a topic that tells much that nobody wants ends; whoever subscribes then hears of the gap', () => {
  const { subscribe, confirm, heard, tell, frames } = setUp();
  subscribe('a')();
  confirm('a');
  for (let revision = 1; revision <= 15; revision++) tell('a', revision);
  expect(frames('unsubscribe')).toBe(0);
  subscribe('a')();
  for (let revision = 16; revision <= 31; revision++) tell('a', revision);
  expect(frames('unsubscribe')).toBe(4);
  expect(heard).toEqual([]);
  subscribe('a');
  confirm('a');
  expect(heard).toEqual(['gap']);
  expect(frames('subscribe')).toBe(8);
});

test('of the topics without a subscriber 64 are kept, and the one unused for longest ends first', () => {
  const { subscribe, heard, frames, tell } = setUp();
  for (let topic = 0; topic < 64; topic++) subscribe(`t${topic}`)();
  subscribe('t0')();
  expect(frames('unsubscribe')).toBe(0);
  subscribe('t64')();
  expect(frames('unsubscribe')).toBe(4);
  subscribe('t0');
  tell('t0', 1);
  expect(heard).toEqual(['event']);
  expect(frames('subscribe')).toBe(4 * 65);
  subscribe('t1');
  expect(frames('subscribe')).toBe(4 * 66);
});

test('channels that were lost and opened anew make a gap once too few had been left', () => {
  const { feed, subscribe, confirm, heard } = setUp();
  subscribe('a');
  confirm('a');
  feed.resubscribe(validators[0]!);
  confirm('a');
  expect(heard).toEqual(['gap']);
  feed.resubscribe(validators[0]!);
  feed.resubscribe(validators[1]!);
  confirm('a');
  expect(heard).toEqual(['gap', 'gap']);
});

test('a liar that tells of thousands of events drowns out none that others tell', () => {
  const { feed, subscribe, confirm, heard } = setUp();
  subscribe('a');
  confirm('a');
  heard.length = 0;
  const event = { type: 'event', topic: 'a', revision: 5, payload: Uint8Array.of(5) } as const;
  feed.onFrame(validators[0]!, event);
  for (let n = 0; n < 3_000; n++) {
    feed.onFrame(validators[3]!, { type: 'event', topic: 'a', revision: 100 + n, payload: Uint8Array.of(1) });
  }
  expect(heard).toEqual([]);
  feed.onFrame(validators[1]!, event);
  expect(heard).toEqual(['event']);
});
