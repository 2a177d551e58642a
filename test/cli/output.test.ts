import { describe, expect, it } from 'vitest';
import { ago, milliseconds, plural, reportError, shortId, table } from '../../src/cli/output.ts';
import { QuorateError } from '../../src/index.ts';

describe('what commands print', () => {
  it('aligns columns, also under colours', () => {
    const rows = [
      ['a', 'x'],
      ['long', 'y'],
    ];
    const painted = table(['N', 'V'], rows, (text, column) => (column === 0 ? `<${text}>` : text));
    expect(painted.split('\n').slice(1)).toEqual(['<a   >  x', '<long>  y', '']);
  });

  it('says times and numbers as people do', () => {
    expect([ago(0, 5_000), ago(0, 600_000), ago(0, 7_200_000 * 2), ago(9_000, 0)]).toEqual([
      '5 s',
      '10 min',
      '4 h',
      '0 s',
    ]);
    expect([milliseconds(undefined), milliseconds(0.25), milliseconds(41.6)]).toEqual(['–', '0.3 ms', '42 ms']);
    expect([plural(1, 'batch'), plural(2, 'batch'), plural(1_200, 'word')]).toEqual([
      '1 batch',
      '2 batches',
      '1,200 words',
    ]);
    expect(shortId('12D3KooWabcdefgh')).toBe('…abcdefgh');
  });

  it('reports errors in the form asked for', () => {
    let err = '';
    const write = (text: string): void => {
      err += text;
    };
    const terminal = { out: () => undefined, err: write, isTty: false, columns: 80 };
    const error = new QuorateError('NO_MATCH', 'Nobody can.', { asked: 'x' });
    expect(reportError(terminal, true, error)).toBe(4);
    expect(JSON.parse(err)).toEqual({ error: { code: 'NO_MATCH', message: 'Nobody can.', data: { asked: 'x' } } });
    err = '';
    expect(reportError(terminal, false, new Error('broken'))).toBe(1);
    expect(err).toContain('✗ broken');
  });
});
