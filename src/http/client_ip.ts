import { BlockList, isIP, SocketAddress } from 'node:net';

export type ClientIp = (peer: string, forwardedFor: string | undefined) => string;

const FAMILY = { 4: 'ipv4', 6: 'ipv6' } as const;

/**
 * The address of the client; empty when `peer` is, its connection being gone already. `X-Forwarded-For` is read from
 * the right, past every hop that is one of `trusted` (address, prefix length); the first that is not is the client. A
 * hop that is no address ends the search: the hop that named it is the client then.
 */
export function createClientIp(trusted: readonly (readonly [address: string, prefix: number])[] = []): ClientIp {
  const proxies = new BlockList();
  for (const [address, prefix] of trusted) proxies.addSubnet(address, prefix, FAMILY[isIP(address) as 4 | 6]);
  const isProxy = (ip: string): boolean => proxies.check(ip, FAMILY[isIP(ip) as 4 | 6]);

  return (peer, forwardedFor) => {
    let client = unmapped(peer);
    if (forwardedFor === undefined || trusted.length === 0 || client === '') return client;
    const hops = forwardedFor.split(',');
    while (hops.length > 0 && isProxy(client)) {
      const hop = toAddress(hops.pop()!.trim());
      if (hop === undefined) return client;
      client = hop;
    }
    return client;
  };
}

/**
 * What one client is limited by: an IPv4 address as it is, an IPv6 address by its /64, since a single subscriber has
 * all of that.
 */
export function networkOf(ip: string): string {
  if (!ip.includes(':')) return ip;
  const [head = '', tail] = ip.split('%', 1)[0]!.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const rest = tail === '' ? [] : tail.split(':');
    while (groups.length + rest.length < 8) groups.push('0');
    groups.push(...rest);
  }
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** `::ffff:192.0.2.1` (an IPv4 client on a dual-stack socket) as `192.0.2.1`. */
const unmapped = (ip: string): string =>
  ip.startsWith('::') && /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(ip) ? ip.slice(7) : ip;

/** An address in its shortest form, with or without a port, or undefined. */
function toAddress(hop: string): string | undefined {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop)?.[1] ?? hop;
  const family = isIP(bare);
  if (family === 0 || bare.includes('%')) return undefined;
  return unmapped(new SocketAddress({ address: bare, family: FAMILY[family as 4 | 6] }).address);
}
