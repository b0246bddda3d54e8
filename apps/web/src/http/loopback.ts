/** Recognizes requests to the loopback interface. */

/** True for a loopback address or `localhost`. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** The host of a `Host` header, without the port. */
export function hostName(header: string | undefined): string {
  return (header ?? '').replace(/:\d+$/, '');
}
