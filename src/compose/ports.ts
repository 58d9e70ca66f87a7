/** The short form of a port, as Docker's client reads it (docker/go-connections, nat `ParsePortSpec`). */
import { isIP } from 'node:net';

export interface ShortPort {
  /** The address that it is to be published on; undefined for all of them. */
  readonly address: string | undefined;
}

/** What follows a second port is nothing to Docker. */
const PORTS = /^(\d+)(?:-(\d+)(?:-.*)?)?$/;
const PROTOCOLS = ['tcp', 'udp', 'sctp'];

/** @returns what is said besides the ports themselves, or what is wrong with it */
export function readShortPort(text: string): ShortPort | { readonly problem: string } {
  const [before = '', protocol = ''] = text.split('/');
  if (protocol !== '' && !PROTOCOLS.includes(protocol.toLowerCase()))
    return { problem: `${protocol} is no protocol: tcp, udp or sctp` };
  const parts = before.split(':');
  const [published = '', target = ''] = parts.length === 1 ? ['', before] : parts.slice(-2);
  const address = parts.slice(0, -2).join(':');
  const ranges = [target, published].map(rangeOf);
  const [targets, hosts] = ranges;
  for (const [index, port] of [target, published].entries())
    if (ranges[index] === undefined && (index === 0 || port !== ''))
      return {
        problem: port === '' ? 'there is no port of the container' : `${port} is no port`,
      };
  if (targets !== undefined && hosts !== undefined && targets > 1 && hosts !== targets)
    return { problem: `${published} and ${target} are not of the same length` };
  const bare = /^\[(.*)\]$/.exec(address)?.[1] ?? address;
  const family = bare.includes('%') ? 0 : isIP(bare);
  if (bare !== '' && family === 0) return { problem: `${address} is no IP address` };
  if (family === 6 && bare === address)
    return { problem: `an IPv6 address stands in brackets: [${bare}]` };
  return { address: isEveryAddress(bare) ? undefined : bare };
}

/** Whether it means all addresses of a node, which is what Swarm publishes on. */
export const isEveryAddress = (address: string): boolean => /^[0.:]*$/.test(address);

/** How many ports it is. */
function rangeOf(text: string): number | undefined {
  const [, first, last = first] = PORTS.exec(text) ?? [];
  if (first === undefined || Number(last) > 65_535 || Number(last) < Number(first))
    return undefined;
  return Number(last) - Number(first) + 1;
}

export interface PortNumbers {
  /** Of the host, or of the container where there is none of the host. */
  readonly numbers: readonly string[];
  readonly isPublished: boolean;
  readonly protocol: string;
}

/** Longer ranges of ports are not gone through. */
const MAX_RANGE = 1000;

/** One item of `ports`, `[address:][published:]target`, port by port. */
export function portOf(ports = '', protocol = ''): PortNumbers {
  const [target = '', published = ''] = ports.split(':').reverse();
  const isPublished = published !== '' && published !== '0';
  const [first = 0, last = first] = (isPublished ? published : target).split('-').map(Number);
  const length = Math.max(0, Math.min(last - first + 1, MAX_RANGE)) || 0;
  const numbers = Array.from({ length }, (_, index) => String(first + index));
  return { numbers, isPublished, protocol: protocol.toLowerCase() || 'tcp' };
}
