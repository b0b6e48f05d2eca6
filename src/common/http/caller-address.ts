import { isIP } from 'node:net';
import type { Request } from 'express';

/** An address with a port, as some proxies write it into `X-Forwarded-For`. */
const WITH_PORT = /^(?:([\d.]+)|\[([\da-f:.]+)\])(?::\d{1,5})?$/i;
/** The zone of a link-local address (RFC 4007), which may be any text: `isIP` lets it pass. */
const ZONE = /%.*$/s;
const IPV4_MAPPED = /^::ffff:(?=[\d.]+$)/i;

/**
 * The address that a request came from, as the trusted proxies tell it (`TRUST_PROXY`). Undefined when what they tell is no address, since
 * it may then be any text of a caller's.
 */
export function callerAddress({ ip = '' }: Request): string | undefined {
  const [, v4, v6] = isIP(ip) ? [] : (WITH_PORT.exec(ip) ?? []);
  const address = (v4 ?? v6 ?? ip).replace(ZONE, '').replace(IPV4_MAPPED, '');
  return isIP(address) ? address : undefined;
}
