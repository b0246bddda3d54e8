/** What an error of a connection to Redis asks its operator to do. Pure; holds no secret and no address. */

const advice: readonly (readonly [RegExp, string])[] = [
  [
    /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER|SELF_SIGNED_CERT|DEPTH_ZERO|CERT_SIGNATURE_FAILURE|unable to verify|self.signed/i,
    "Redis' certificate is not signed by an authority known here: set REDIS_CA_FILE to the PEM file of the one that signed it",
  ],
  [
    /ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate/i,
    "Redis' certificate is for another name: use a name in REDIS_URL that the certificate lists",
  ],
  [/CERT_HAS_EXPIRED|certificate has expired/i, "Redis' certificate has expired: renew it on the server"],
  [/CERT_NOT_YET_VALID/i, "Redis' certificate is not valid yet: look at both machines' clocks"],
  [
    /CERTIFICATE_REQUIRED|certificate required|alert bad certificate|alert unknown ca/i,
    'Redis asks for a certificate of ours: set REDIS_CERT_FILE and REDIS_KEY_FILE to one that it knows',
  ],
  [
    /WRONG_VERSION_NUMBER|wrong version number|packet length too long|EPROTO/i,
    'the port speaks no TLS: look at the port, or write redis:// in REDIS_URL',
  ],
  [
    /WRONGPASS|invalid password/i,
    'put the right user and password into REDIS_URL: redis://user:password@host',
  ],
  [
    /NOAUTH/,
    'Redis asks for a password: put it into REDIS_URL (redis://user:password@host), or for sentinels into REDIS_SENTINEL_PASSWORD',
  ],
  [/NOPERM/, 'the user of REDIS_URL may not do this: give it ~* &* +@all -@dangerous +info (docs/redis.md)'],
  [/ENOTFOUND|EAI_AGAIN/, 'the host name in REDIS_URL is not known here'],
];

/** A sentence on what to do, or undefined when the error says enough. */
export function redisAdvice(error: unknown): string | undefined {
  const { code = '', message = '' } = (error ?? {}) as { code?: unknown; message?: unknown };
  const text = `${String(code)} ${String(message)}`;
  return advice.find(([pattern]) => pattern.test(text))?.[1];
}
