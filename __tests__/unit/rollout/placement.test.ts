import { describe, expect, it } from '@jest/globals';
import { eligibleNodes } from '../../../src/rollout/placement.js';
import { node } from '../../support/snapshots.js';

const full = node('Abc123', {
  Spec: { Role: 'manager', Availability: 'active', Labels: { Zone: 'East', 'a.b': 'x' } },
  Description: {
    Hostname: 'Host-1',
    Platform: { OS: 'linux', Architecture: 'x86_64' },
    Engine: { Labels: { Disk: 'ssd' } },
  },
  Status: { State: 'ready', Addr: '10.1.2.3' },
});
const bare = node('bare', { Spec: {}, Description: {}, Status: { State: 'ready' } });
const v6 = node('v6', { Status: { State: 'ready', Addr: '2001:db8::2' } });
const fits = (one: typeof full, ...constraints: readonly string[]): boolean =>
  eligibleNodes([one], constraints).length === 1;

describe('constraints', () => {
  it.each([
    ['node.id==Abc123', true],
    ['node.id == abc123', true],
    ['NODE.ID==ABC123', true],
    ['node.id!=abc123', false],
    ['node.hostname==HOST-1', true],
    ['node.hostname!=host-1', false],
    ['node.role==manager', true],
    ['node.role==MANAGER', true],
    ['node.role!=worker', true],
    ['node.platform.os==Linux', true],
    ['node.platform.arch==x86_64', true],
    ['node.platform.arch==arm64', false],
    ['node.labels.Zone==east', true],
    ['Node.Labels.Zone==EAST', true],
    ['node.labels.zone==east', false],
    ['node.labels.zone!=east', true],
    ['node.labels.a.b==x', true],
    ['node.labels.none==', true],
    ['engine.labels.Disk==SSD', true],
    ['engine.labels.disk==ssd', false],
    ['engine.labels.none!=x', true],
    ['node.ip==10.1.2.3', true],
    ['node.ip!=10.1.2.3', false],
    ['node.ip==10.1.2.4', false],
    ['node.ip==10.1.0.0/16', true],
    ['node.ip!=10.1.0.0/16', false],
    ['node.ip==10.2.0.0/16', false],
    ['node.ip==0.0.0.0/0', true],
    ['node.ip==10.1.2.3/32', true],
    ['node.ip==2001:db8::/32', false],
    ['node.ip!=2001:db8::/32', true],
    // Malformed: no node fits, whichever the operator.
    ['node.ip==10.1.2', false],
    ['node.ip!=10.1.2', false],
    ['node.ip==10.1.2.3/33', false],
    ['node.ip!=10.1.2.3/33', false],
    ['node.ip==10.1.2.3/', false],
    ['node.ip!=10.1.2.300', false],
    ['node.ip==10.1.0.0/16/8', false],
    ['node.ip==10.1.0.0/1e1', false],
    ['node.ip!=1::2::3', false],
    ['node.colour==red', false],
    ['node.colour!=red', false],
    ['node.labels.', false],
    ['node.role', false],
    ['', false],
  ])('%s: %s', (constraint, yes) => {
    expect(fits(full, constraint)).toBe(yes);
  });

  it.each([
    ['node.hostname==x', false],
    ['node.hostname!=x', true],
    ['node.role!=manager', true],
    ['node.platform.os!=linux', true],
    ['node.platform.os==linux', false],
    ['node.labels.a!=b', true],
    ['node.labels.a==b', false],
    ['engine.labels.a!=b', true],
    ['engine.labels.a==b', false],
    ['node.ip==10.0.0.0/8', false],
    ['node.ip!=10.0.0.0/8', true],
  ])('on a node that says nothing of itself, %s: %s', (constraint, yes) => {
    expect(fits(bare, constraint)).toBe(yes);
  });

  it.each([
    ['node.ip==2001:db8::2', true],
    ['node.ip==2001:0DB8:0:0:0:0:0:2', true],
    ['node.ip==2001:db8::/32', true],
    ['node.ip==2001:db9::/32', false],
    ['node.ip!=2001:db9::/32', true],
    ['node.ip==::/0', true],
    ['node.ip==2001:db8::/129', false],
    ['node.ip==10.0.0.0/8', false],
    ['node.ip==2001:db8:0:0:0:0:0:0:2', false],
    ['node.ip==2001:db8::12345', false],
  ])('IPv6, %s: %s', (constraint, yes) => {
    expect(fits(v6, constraint)).toBe(yes);
  });

  it('must all be met', () => {
    expect(fits(full, 'node.role==manager', 'node.labels.Zone==east')).toBe(true);
    expect(fits(full, 'node.role==manager', 'node.labels.Zone==west')).toBe(false);
  });
});

describe('nodes', () => {
  it.each([
    ['ready', 'active', true],
    ['down', 'active', false],
    ['unknown', 'active', true],
    ['disconnected', 'active', true],
    ['ready', 'drain', false],
    ['ready', 'pause', false],
  ] as const)('%s and %s: %s', (State, Availability, yes) => {
    expect(fits({ ...full, Spec: { ...full.Spec, Availability }, Status: { State } })).toBe(yes);
  });
});
