/**
 * Which nodes a global service is meant to run on, by swarmkit's own rules
 * (manager/constraint/constraint.go and manager/orchestrator/global/global.go).
 */
import type { Node } from '../model.js';

const equal = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

function addressNumber(address: string): { bits: number; value: bigint } | undefined {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(address)) {
    const parts = address.split('.').map(Number);
    if (parts.some((part) => part > 255)) return undefined;
    return { bits: 32, value: parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n) };
  }
  if (!/^[0-9a-f:]+$/i.test(address) || !address.includes(':')) return undefined;
  const [head = '', tail, more] = address.split('::');
  if (more !== undefined) return undefined;
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const gap = 8 - left.length - right.length;
  if (tail === undefined ? gap !== 0 : gap < 1) return undefined;
  const groups = [...left, ...Array.from({ length: gap }, () => '0'), ...right];
  if (groups.some((group) => !/^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return {
    bits: 128,
    value: groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n),
  };
}

function inSubnet(address: string, range: string): boolean | undefined {
  const [base = '', prefix, more] = range.split('/');
  const [want, have] = [addressNumber(base), addressNumber(address)];
  if (want === undefined || more !== undefined || !/^\d+$/.test(prefix ?? '0')) return undefined;
  const length = prefix === undefined ? want.bits : Number(prefix);
  if (!Number.isInteger(length) || length < 0 || length > want.bits) return undefined;
  if (have?.bits !== want.bits) return false;
  const shift = BigInt(want.bits - length);
  return have.value >> shift === want.value >> shift;
}

function satisfies(node: Node, expression: string): boolean {
  const operator = expression.includes('==') ? '==' : '!=';
  const cut = expression.indexOf(operator);
  if (cut < 0) return false;
  const key = expression.slice(0, cut).trim();
  const wanted = expression.slice(cut + operator.length).trim();
  const lower = key.toLowerCase();
  const is = (value: string | undefined): boolean =>
    equal(value ?? '', wanted) === (operator === '==');
  if (lower === 'node.id') return is(node.ID);
  if (lower === 'node.hostname') return is(node.Description?.Hostname);
  if (lower === 'node.role') return is(node.Spec.Role);
  if (lower === 'node.platform.os') return is(node.Description?.Platform?.OS);
  if (lower === 'node.platform.arch') return is(node.Description?.Platform?.Architecture);
  if (lower === 'node.ip') {
    const inside = inSubnet(node.Status.Addr ?? '', wanted);
    return inside === undefined ? false : inside === (operator === '==');
  }
  // The prefix is matched without regard to case, the label itself with it.
  if (lower.startsWith('node.labels.')) return is(node.Spec.Labels?.[key.slice(12)]);
  if (lower.startsWith('engine.labels.'))
    return is(node.Description?.Engine?.Labels?.[key.slice(14)]);
  return false;
}

/**
 * The nodes on which Swarm creates a task of a global service: neither down nor drained, and all
 * constraints met. Paused ones are left out: Swarm adds nothing there.
 */
export function eligibleNodes(
  nodes: readonly Node[],
  constraints: readonly string[],
): readonly Node[] {
  return nodes.filter(
    (node) =>
      node.Status.State !== 'down' &&
      node.Spec.Availability !== 'drain' &&
      node.Spec.Availability !== 'pause' &&
      constraints.every((expression) => satisfies(node, expression)),
  );
}
