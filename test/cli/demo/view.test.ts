import { describe, expect, it } from 'vitest';
import { JobView, type WorkerLine } from '../../../src/cli/demo/view.ts';

const worker = (agent: string): WorkerLine => {
  return { agent, zone: 'east', pid: 7, node: 'n', held: 0, doing: 'a/very/long/path/to/a/file.ts', state: 'works' };
};

function view(isTty: boolean, columns = 120): { readonly shown: JobView; readonly written: () => string } {
  let text = '';
  const out = (more: string): void => {
    text += more;
  };
  return { shown: new JobView({ out, err: out, isTty, columns }), written: () => text };
}

const esc = String.fromCharCode(27);
const upAndErase = new RegExp(`^${esc}\\[(\\d+)F${esc}\\[J`);

/** What a terminal would show: moves up and erases as the view asks for. */
function screen(text: string): string[] {
  const lines = [''];
  let rest = text;
  while (rest !== '') {
    const up = upAndErase.exec(rest);
    if (up !== null) {
      lines.length = Math.max(1, lines.length - Number(up[1]));
      lines[lines.length - 1] = '';
      rest = rest.slice(up[0].length);
    } else if (rest[0] === '\n') {
      lines.push('');
      rest = rest.slice(1);
    } else {
      lines.push(`${lines.pop() ?? ''}${rest[0]}`);
      rest = rest.slice(1);
    }
  }
  return lines;
}

describe('the view of the job', () => {
  it('draws over what it drew, and keeps what was said', () => {
    const { shown, written } = view(true);
    shown.beginProgress([worker('a'), worker('b')], 10);
    shown.event('first');
    const line = shown.worker('a');
    if (line !== undefined) line.held = 3;
    shown.progress(5);
    shown.event('second');
    shown.endProgress();
    const lines = screen(written());
    expect(lines.filter((text) => text.includes('first'))).toHaveLength(1);
    expect(lines.filter((text) => text.includes('second'))).toHaveLength(1);
    expect(lines.filter((text) => text.includes('pid 7'))).toHaveLength(2);
    expect(lines.filter((text) => text.includes('5 of 10 batches'))).toHaveLength(1);
    expect(lines.findIndex((text) => text.includes('second'))).toBeLessThan(
      lines.findIndex((text) => text.includes('pid 7')),
    );
  });

  it.each([
    ['no terminal', false, 120],
    ['a terminal too narrow to draw on', true, 60],
  ])('writes plain lines on %s', (_what, isTty, columns) => {
    const { shown, written } = view(isTty, columns);
    shown.beginProgress([worker('a')], 4);
    for (const done of [1, 2, 3, 4]) shown.progress(done);
    shown.endProgress();
    expect(written()).not.toContain(`${esc}[J`);
    expect(written().match(/of 4 batches/g)).toHaveLength(4);
  });
});
