import { describe, expect, it } from 'vitest';
import { asMultiaddr } from '../../src/cli/addresses.ts';
import { invocation, joinLine } from '../../src/cli/join-line.ts';

const facts = {
  name: 'default',
  addresses: ['/ip4/127.0.0.1/tcp/4700/p2p/12D3A'],
  networkKeyFile: undefined,
  hasNetworkKey: false,
};

describe('the line with which others join', () => {
  it('names the way this program was started', () => {
    expect(invocation('/x/src/cli/main.ts', {})).toBe('npm run -s quorate --');
    expect(invocation('/x/node_modules/.bin/quorate', { npm_command: 'exec' })).toBe('npx quorate');
    expect(invocation('/usr/bin/quorate', {})).toBe('quorate');
  });

  it('has an address, and the name of the mesh unless it is the default', () => {
    expect(joinLine(facts, 'quorate')).toBe('quorate up --bootstrap /ip4/127.0.0.1/tcp/4700/p2p/12D3A');
    expect(joinLine({ ...facts, name: 'lab' }, 'quorate')).toContain('up --name lab --bootstrap');
    expect(joinLine({ ...facts, addresses: [] }, 'quorate')).toBeUndefined();
  });

  it('prefers an address that other machines reach', () => {
    const addresses = [...facts.addresses, '/ip4/10.0.0.7/tcp/4700/p2p/12D3A'];
    expect(joinLine({ ...facts, addresses }, 'quorate')).toContain('/ip4/10.0.0.7/');
  });

  it('names the file of the network key, and never the key', () => {
    expect(joinLine({ ...facts, networkKeyFile: "it's.key", hasNetworkKey: true }, 'quorate')).toContain(
      "--network-key-file 'it'\\''s.key'",
    );
    expect(joinLine({ ...facts, hasNetworkKey: true }, 'quorate')).toMatch(/^QUORATE_NETWORK_KEY=… quorate up/);
  });
});

describe('addresses as typed', () => {
  it.each([
    ['4700', '/ip4/127.0.0.1/tcp/4700'],
    ['0.0.0.0:4700', '/ip4/0.0.0.0/tcp/4700'],
    ['[::1]:4700', '/ip6/::1/tcp/4700'],
    ['node-1.lan:4700', '/dns4/node-1.lan/tcp/4700'],
    ['/ip4/10.0.0.1/tcp/1', '/ip4/10.0.0.1/tcp/1'],
    ['nonsense', 'nonsense'],
  ])('%s is %s', (typed, address) => {
    expect(asMultiaddr(typed)).toBe(address);
  });
});
