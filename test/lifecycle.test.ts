import { expect, it } from 'vitest';
import { Lifecycle } from '../src/lifecycle.ts';

function recorded() {
  const log: string[] = [];
  const lifecycle = new Lifecycle((part) => log.push(`failed to stop ${part}`));
  const part = (name: string, { failing = '' } = {}) =>
    lifecycle.start(
      name,
      () => {
        if (failing === 'start') throw new Error(`${name} cannot start`);
        log.push(`start ${name}`);
        return name;
      },
      (started) => {
        if (failing === 'stop') throw new Error(`${name} cannot stop`);
        log.push(`stop ${started}`);
      },
    );
  return { log, lifecycle, part };
}

it('starts in order and stops in reverse, once', async () => {
  const { log, lifecycle, part } = recorded();
  await part('a');
  await part('b');
  await Promise.all([lifecycle.stop(), lifecycle.stop()]);
  await lifecycle.stop();
  expect(log).toEqual(['start a', 'start b', 'stop b', 'stop a']);
});

it('stops what had started when a later part cannot start', async () => {
  const { log, part } = recorded();
  await part('a');
  await part('b');
  await expect(part('c', { failing: 'start' })).rejects.toThrow('c cannot start');
  expect(log).toEqual(['start a', 'start b', 'stop b', 'stop a']);
});

it('reports a part that cannot stop and stops the others', async () => {
  const { log, lifecycle, part } = recorded();
  await part('a');
  await part('b', { failing: 'stop' });
  await part('c');
  await lifecycle.stop();
  expect(log).toEqual(['start a', 'start b', 'start c', 'stop c', 'failed to stop b', 'stop a']);
});
