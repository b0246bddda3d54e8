/** What a worker advertises to the fleet with each heartbeat: what it can make, and where it sends calls. */
import { type Advert, advertisedAddress } from '@recloser/calls/call/advert';
import { envelopeVersions } from '@recloser/calls/call/envelope';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import type { UpstreamSettings } from '@recloser/upstreams/contract/settings';

export function createAdvert({
  sealer,
  settings,
}: {
  readonly sealer: Sealer;
  readonly settings: Pick<UpstreamSettings, 'operations'> &
    Partial<Pick<UpstreamSettings, 'baseUrl' | 'loginBaseUrl'>>;
}): Advert {
  const { baseUrl: BASE_URL, loginBaseUrl: LOGIN_BASE_URL, operations } = settings;
  const addresses = Object.entries({ BASE_URL, LOGIN_BASE_URL }).flatMap(([variable, url]) =>
    url === undefined ? [] : [[variable, advertisedAddress(url)] as const],
  );
  return {
    operations: Object.keys(operations),
    envelopes: [...envelopeVersions],
    keys: [...sealer.keys],
    addresses: Object.fromEntries(addresses),
  };
}
