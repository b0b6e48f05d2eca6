import { isIP, isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';

/**
 * With the port that Azure's gateways and IIS write behind an address, IPv6 in brackets (RFC 3986,
 * section 3.2.2).
 */
const WITH_PORT = /^(?:([\d.]+):\d{1,5}|\[([^\]]+)\](?::\d{1,5})?)$/;

/**
 * The IP address that a text names, in one spelling: without port, brackets and zone id, and an
 * IPv4 address that is written as IPv6 as what it is. Undefined for any other text.
 */
export function addressOf(text: string): string | undefined {
  if (isIPv4(text)) return text; // the usual case, on each request
  const [, ipv4, ipv6] = WITH_PORT.exec(text) ?? [];
  const address = (ipv4 ?? ipv6 ?? text).replace(/%.*$/s, '');
  const version = isIP(address);
  if (version === 0) return undefined;
  // `ipaddr.js` does not read every IPv6 address that ends in an IPv4 address; in the spelling of a
  // URL none does.
  const spelled = version === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
  return ipaddr.process(spelled).toNormalizedString();
}

/** The parts of a request that name its sender. */
export interface Caller {
  readonly ip?: string | undefined;
  /** As the handshake of Socket.IO names it. */
  readonly address?: string | undefined;
  readonly socket?: { readonly remoteAddress?: string | undefined };
}

/**
 * The address of a caller: the one that a trusted proxy names, if it is one, or else that of the
 * connection. Empty where it has none, as with a Unix socket.
 */
export const callerAddress = ({ ip, address, socket }: Caller): string =>
  addressOf(ip ?? address ?? '') ?? addressOf(socket?.remoteAddress ?? '') ?? '';
