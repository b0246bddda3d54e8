/** Which names mean this machine. */

/** True for an address or name that only this machine can reach. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** The name in a `Host` header, without the port. */
export function hostName(header: string | undefined): string {
  return (header ?? '').replace(/:\d+$/, '');
}
