import { expect, it } from 'vitest';
import { Emitter } from '../src/emitter.ts';

it('calls listeners in order until they are taken off, and survives those that throw', () => {
  const errors: string[] = [];
  const heard: string[] = [];
  const emitter = new Emitter<{ word: string }>((error, type) => errors.push(`${type}: ${(error as Error).message}`));
  emitter.on('word', (word) => heard.push(`a ${word}`));
  emitter.on('word', () => {
    throw new Error('broken');
  });
  const off = emitter.on('word', (word) => heard.push(`b ${word}`));
  emitter.emit('word', 'one');
  off();
  off();
  emitter.emit('word', 'two');
  expect(heard).toEqual(['a one', 'b one', 'a two']);
  expect(errors).toEqual(['word: broken', 'word: broken']);
});

it('lets a listener take itself or others off while it is called', () => {
  const heard: string[] = [];
  const emitter = new Emitter<{ word: string }>(() => undefined);
  const off = emitter.on('word', () => {
    heard.push('once');
    off();
  });
  emitter.on('word', () => heard.push('always'));
  emitter.emit('word', '');
  emitter.emit('word', '');
  expect(heard).toEqual(['once', 'always', 'always']);
});
