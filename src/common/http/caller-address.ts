import { isIP, isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';

/**
 * An address followed by a port, as Azure's gateways and IIS write it, with IPv6 in brackets (RFC
 * 3986, section 3.2.2).
 */
const WITH_PORT = /^(?:([\d.]+):\d{1,5}|\[([^\]]+)\](?::\d{1,5})?)$/;

/**
 * The IP address in a text, normalized: without port, brackets and zone id, and an IPv4-mapped IPv6
 * address as IPv4. Undefined for any other text.
 */
export function addressOf(text: string): string | undefined {
  if (isIPv4(text)) return text; // the usual case, on each request
  const [, ipv4, ipv6] = WITH_PORT.exec(text) ?? [];
  const address = (ipv4 ?? ipv6 ?? text).replace(/%.*$/s, '');
  const version = isIP(address);
  if (version === 0) return undefined;
  // `ipaddr.js` does not read every IPv6 address that ends in an IPv4 address; a URL writes such an
  // address in hexadecimal only.
  const spelled = version === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
  return ipaddr.process(spelled).toNormalizedString();
}

/** The parts of a request that name its sender. */
export interface Caller {
  readonly ip?: string | undefined;
  /** The field of this name in the handshake of Socket.IO. */
  readonly address?: string | undefined;
  readonly socket?: { readonly remoteAddress?: string | undefined };
}

/**
 * The address of a caller: the one that a trusted proxy sends, if it is valid, otherwise that of
 * the connection. Empty if the connection has none, as with a Unix socket.
 */
export const callerAddress = ({ ip, address, socket }: Caller): string =>
  addressOf(ip ?? address ?? '') ?? addressOf(socket?.remoteAddress ?? '') ?? '';
