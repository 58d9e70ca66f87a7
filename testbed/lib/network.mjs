/**
 * The bridge that joins the nodes, the subnet on it, and the packet filter rules for it.
 */
import { must, run } from './run.mjs';

/** Networks of services. Must not overlap with the nodes' own subnet. */
export const SERVICE_POOL = { cidr: '10.64.0.0/10', size: 24 };

/**
 * The engine inside a node gives its bridges addresses of 172.17.0.0/12 and 192.168.0.0/16, and the
 * swarm has SERVICE_POOL: a node's own address is taken from none of those.
 */
const CANDIDATES = Array.from({ length: 256 }, (_, index) => `10.213.${index}.0`);

/**
 * @param {readonly string[]} taken subnets of testbeds that are planned but not yet up
 * @returns {Promise<{subnet: string, gateway: string}>}
 */
export async function pickSubnet(taken) {
  const used = [...taken, ...(await subnetsInUse())].map(parseCidr);
  const subnet = CANDIDATES.map((network) => `${network}/24`).find((cidr) => {
    return !used.some((other) => overlap(parseCidr(cidr), other));
  });
  if (!subnet) throw new Error('No free subnet below 10.213.0.0/16 for the test swarm.');
  return { subnet, gateway: hostAddress(subnet, 1) };
}

/**
 * @param {string} subnet a /24
 * @param {number} host
 */
export function hostAddress(subnet, host) {
  return subnet.replace(/0\/24$/, String(host));
}

/**
 * @returns {Promise<string[]>} every IPv4 subnet this machine has an address in or a route to
 */
async function subnetsInUse() {
  const addresses = JSON.parse(await must(['ip', '-json', '-4', 'address', 'show']));
  const routes = JSON.parse(await must(['ip', '-json', '-4', 'route', 'show', 'table', 'all']));
  /** @type {string[]} */
  const found = [];
  for (const link of addresses) {
    for (const one of link.addr_info ?? []) {
      if (one.local) found.push(`${one.local}/${one.prefixlen}`);
    }
  }
  for (const route of routes) if (/^[\d.]+(\/\d+)?$/.test(route.dst)) found.push(route.dst);
  return found;
}

/**
 * @param {string} cidr
 * @returns {{first: number, last: number}}
 */
function parseCidr(cidr) {
  const [address = '', bits = '32'] = cidr.split('/');
  const value = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(bits));
  const first = Math.floor(value / size) * size;
  return { first, last: first + size - 1 };
}

/**
 * @param {{first: number, last: number}} a
 * @param {{first: number, last: number}} b
 */
function overlap(a, b) {
  return a.first <= b.last && b.first <= a.last;
}

/**
 * Needed where the machine's own policy is to drop: an engine that runs there sets FORWARD to DROP,
 * and frames between two ports of one bridge pass FORWARD too (br_netfilter).
 * @param {string} bridge
 */
const rulesFor = (bridge) => [
  ['FORWARD', '-i', bridge, '-o', bridge, '-j', 'ACCEPT'],
  ['INPUT', '-i', bridge, '-j', 'ACCEPT'],
];

/**
 * @param {string} bridge
 * @param {string} gateway
 */
export async function makeBridge(bridge, gateway) {
  await must(['ip', 'link', 'add', bridge, 'type', 'bridge']);
  await must(['ip', 'address', 'add', `${gateway}/24`, 'dev', bridge]);
  await must(['ip', 'link', 'set', bridge, 'up']);
  for (const [chain = '', ...rule] of rulesFor(bridge)) {
    await must(['iptables', '--wait', '--insert', chain, '1', ...rule]);
  }
}

/**
 * Takes away whatever of the bridge, the nodes' interfaces and the rules is there.
 * @param {string} bridge
 * @param {readonly string[]} veths
 */
export async function removeNetwork(bridge, veths) {
  for (const name of [...veths, bridge]) await run(['ip', 'link', 'delete', name]);
  for (const rule of rulesFor(bridge)) {
    while ((await run(['iptables', '--wait', '--delete', ...rule])).code === 0);
  }
}

/**
 * Gives a node its only network interface, `eth0`, wired to the bridge.
 * @param {{bridge: string, veth: string, pid: number, address: string, gateway: string}} wire
 */
export async function connectNode({ bridge, veth, pid, address, gateway }) {
  const peer = ['peer', 'name', 'eth0', 'netns', String(pid)];
  await must(['ip', 'link', 'add', veth, 'type', 'veth', ...peer]);
  await must(['ip', 'link', 'set', veth, 'master', bridge, 'up']);
  const inside = ['nsenter', '--target', String(pid), '--net', 'ip'];
  await must([...inside, 'link', 'set', 'lo', 'up']);
  await must([...inside, 'address', 'add', `${address}/24`, 'dev', 'eth0']);
  await must([...inside, 'link', 'set', 'eth0', 'up']);
  await must([...inside, 'route', 'add', 'default', 'via', gateway]);
}
