import { describe, expect, it } from 'vitest';
import { parseTerms } from '../../src/cli/terms.ts';
import { isQuorateError } from '../../src/errors.ts';

describe('criteria as typed', () => {
  it.each([
    [['capabilities=index'], { capabilities: 'index' }],
    [['capability=index', 'zone=eu-1,eu-2'], { capabilities: 'index', zone: ['eu-1', 'eu-2'] }],
    [['capacity.cpu>=0.5', 'capacity.cpu<4'], { capacity: { cpu: { gte: 0.5, lt: 4 } } }],
    [['custom.pid=12', 'custom.gpu=true', 'custom.owner=null'], { custom: { pid: 12, gpu: true, owner: null } }],
    [['health!=unhealthy'], { health: { neq: 'unhealthy' } }],
    [['id~dex'], { id: { contains: 'dex' } }],
    [['version=1.2.3'], { version: '1.2.3' }],
    [['{"zone":"a"}'], { zone: 'a' }],
    [['[["zone","a","eq"]]'], [['zone', 'a', 'eq']]],
  ])('%j means %j', (terms, criteria) => {
    expect(parseTerms(terms)).toEqual(criteria);
  });

  it('no terms are no criteria', () => {
    expect(parseTerms([])).toBeUndefined();
  });

  it.each([[['zone']], [['=a']], [['{"zone":']], [['zone=a', 'zone=b']]])('%j is refused with a reason', (terms) => {
    expect(() => parseTerms(terms)).toThrow(expect.toSatisfy((error) => isQuorateError(error, 'INVALID_CRITERIA')));
  });
});
