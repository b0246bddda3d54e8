/** Certificates for TLS tests: authorities and the certificates that they sign. Each run creates new keys. */
import 'reflect-metadata'; // Must be loaded before x509.
import { randomUUID, webcrypto } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

cryptoProvider.set(webcrypto as Crypto);

/** A certificate and its private key, both PEM. */
export type Certificate = { readonly cert: string; readonly key: string };

/** A certificate's validity. Default: from one hour ago, for two days. */
export type Validity = { readonly from?: Date; readonly until?: Date };

/** Signs certificates. `cert` is the authority's own certificate. */
export type Authority = {
  readonly cert: string;
  /** For a server of these host names and IP addresses. */
  server(names: readonly string[], validity?: Validity): Promise<Certificate>;
  /** For a client of this name. */
  client(name: string, validity?: Validity): Promise<Certificate>;
};

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const hourMs = 3_600_000;

/** Creates an authority. No other authority signs its certificates. */
export async function createAuthority(): Promise<Authority> {
  const keys = await newKeys();
  const own = await X509CertificateGenerator.createSelfSigned({
    ...common(`Test authority ${randomUUID()}`, {}),
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  const issue = (subject: string, validity: Validity, extensions: readonly Extension[]) =>
    issueLeaf({ own, keys }, subject, validity, extensions);
  return {
    cert: own.toString('pem'),
    server: (names, validity = {}) =>
      issue(names[0] ?? 'server', validity, [
        new SubjectAlternativeNameExtension(
          names.map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value })),
        ),
        // Redis uses one certificate as a server and as a client of other servers.
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      ]),
    client: (client, validity = {}) =>
      issue(client, validity, [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])]),
  };
}

async function issueLeaf(
  { own, keys }: { own: X509Certificate; keys: webcrypto.CryptoKeyPair },
  subject: string,
  validity: Validity,
  extensions: readonly Extension[],
): Promise<Certificate> {
  const leafKeys = await newKeys();
  const leaf = await X509CertificateGenerator.create({
    ...common(subject, validity),
    issuer: own.subject,
    publicKey: leafKeys.publicKey,
    signingKey: keys.privateKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      ...extensions,
    ],
  });
  const key = await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey);
  return { cert: leaf.toString('pem'), key: PemConverter.encode(key, 'PRIVATE KEY') };
}

function common(name: string, { from, until }: Validity) {
  const start = from ?? new Date(Date.now() - hourMs);
  return {
    subject: `CN=${name}`,
    notBefore: start,
    notAfter: until ?? new Date(start.getTime() + 48 * hourMs),
    signingAlgorithm: algorithm,
  };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ]) as Promise<webcrypto.CryptoKeyPair>;
}

/** Writes the PEM files of an authority and a certificate into `folder`. Returns their paths. */
export async function writeCertificates(
  folder: string,
  { cert: authority }: Pick<Authority, 'cert'>,
  { cert, key }: Certificate,
): Promise<{ readonly ca: string; readonly cert: string; readonly key: string }> {
  const files = { ca: join(folder, 'ca.pem'), cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  await writeFile(files.ca, authority);
  await writeFile(files.cert, cert);
  await writeFile(files.key, key, { mode: 0o600 });
  return files;
}
