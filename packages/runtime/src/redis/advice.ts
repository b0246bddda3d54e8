/** Advice for operators on connection errors of Redis. Contains no secrets and no addresses. */

const advice: readonly (readonly [RegExp, string])[] = [
  [
    /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER|SELF_SIGNED_CERT|DEPTH_ZERO|CERT_SIGNATURE_FAILURE|unable to verify|self.signed/i,
    "Redis' certificate is not signed by a trusted CA: set REDIS_CA_FILE to the PEM file of the CA that signed it",
  ],
  [
    /ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate/i,
    "Redis' certificate does not match the host name: use a name in REDIS_URL that the certificate lists",
  ],
  [/CERT_HAS_EXPIRED|certificate has expired/i, "Redis' certificate has expired: renew it on the server"],
  [/CERT_NOT_YET_VALID/i, "Redis' certificate is not valid yet: check the clocks of both machines"],
  [
    /CERTIFICATE_REQUIRED|certificate required|alert bad certificate|alert unknown ca/i,
    'Redis requires a client certificate: set REDIS_CERT_FILE and REDIS_KEY_FILE to one that it trusts',
  ],
  [
    /WRONG_VERSION_NUMBER|wrong version number|packet length too long|EPROTO/i,
    'the port does not use TLS: check the port, or use redis:// in REDIS_URL',
  ],
  [
    /WRONGPASS|invalid password/i,
    'the user name or password is wrong: correct REDIS_URL (redis://user:password@host)',
  ],
  [
    /NOAUTH/,
    'Redis requires a password: set it in REDIS_URL (redis://user:password@host), or for sentinels in REDIS_SENTINEL_PASSWORD',
  ],
  [/NOPERM/, 'the user in REDIS_URL lacks permissions: grant ~* &* +@all -@dangerous +info (docs/redis.md)'],
  [/ENOTFOUND|EAI_AGAIN/, 'the host name in REDIS_URL cannot be resolved'],
];

/** Returns the cause and the fix, or undefined if the error itself is clear. */
export function redisAdvice(error: unknown): string | undefined {
  const { code = '', message = '' } = (error ?? {}) as { code?: unknown; message?: unknown };
  const text = `${String(code)} ${String(message)}`;
  return advice.find(([pattern]) => pattern.test(text))?.[1];
}
