import { BlockList, isIP } from "node:net";

/** What we believe of the machines in front of us. */
export interface EdgeSettings {
  /** Addresses and CIDR ranges whose `X-Forwarded-For`, `X-Forwarded-Proto` and country header count. */
  trustedProxies: readonly string[];
  /** Lower case; undefined: countries come from addresses. */
  countryHeader?: string | undefined;
}

export interface ClientAddress {
  /** Empty when unknown. */
  ip: string;
  country: string;
  isHttps: boolean;
}

/** What is read of a request. */
export interface RequestOrigin {
  /** By its name in lower case. */
  header(name: string): string | undefined;
  url: string;
  /** Of the connection; empty when there is none. */
  remoteAddress: string;
}

/** Whether an address is that of a configured proxy. */
export function createProxyCheck(edge: () => EdgeSettings): (address: string) => boolean {
  let settings: EdgeSettings | undefined;
  let trusted = new BlockList();
  return (address) => {
    const current = edge();
    if (current !== settings) {
      settings = current;
      trusted = toBlockList(current.trustedProxies);
    }
    const ip = plainAddress(address);
    const version = isIP(ip);
    return version !== 0 && trusted.check(ip, version === 4 ? "ipv4" : "ipv6");
  };
}

/** Reads who is asking. Every header here can be made up by anyone, so only a configured proxy's are read. */
export function createClientAddressReader(edge: () => EdgeSettings): (request: RequestOrigin) => ClientAddress {
  const isTrusted = createProxyCheck(edge);
  return ({ header, url, remoteAddress }) => {
    const current = edge();
    const peer = plainAddress(remoteAddress);
    const isHttps = url.startsWith("https:");
    if (current.trustedProxies.length === 0 || !isTrusted(peer)) return { ip: peer, country: "", isHttps };

    // Each proxy appends who it heard from, so the first one from the right that is no proxy of ours is the client.
    const hops = (header("x-forwarded-for") ?? "").split(",").map((hop) => plainAddress(hop.trim()));
    const client = hops.findLast((hop) => !isTrusted(hop)) ?? hops[0] ?? "";
    return {
      ip: isIP(client) === 0 ? "" : client,
      country: current.countryHeader === undefined ? "" : (header(current.countryHeader) ?? ""),
      isHttps: isHttps || header("x-forwarded-proto")?.split(",")[0]?.trim().toLowerCase() === "https",
    };
  };
}

function toBlockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", prefix] = network.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
}

/** Without the form that IPv4 takes on an IPv6 socket, without a port. */
function plainAddress(text: string): string {
  if (text.startsWith("::ffff:") && text.includes(".")) return text.slice(7);
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(text);
  if (bracketed !== null) return bracketed[1]!;
  return /^\d+\.\d+\.\d+\.\d+:\d+$/.test(text) ? text.slice(0, text.indexOf(":")) : text;
}
