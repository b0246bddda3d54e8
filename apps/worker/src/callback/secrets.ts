import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type CallbackSigner, parseCallbackSecrets } from '@recloser/calls/callback/signature';
import { ConfigError } from '@recloser/runtime/env/env';
import { secretInFile } from '@recloser/runtime/secrets/secret-file';

const secretBytes = 32;

/**
 * Creates the signer from `CALLBACK_SECRETS`. If that is unset outside production, a secret is generated once and stored
 * in `<dataDir>/callback-secret` (mode 0600) for a developer's receiver. Throws `ConfigError`.
 */
export function loadCallbackSigner(options: {
  readonly CALLBACK_SECRETS?: string | undefined;
  readonly NODE_ENV: string;
  readonly dataDir: string;
}): CallbackSigner {
  const { CALLBACK_SECRETS, NODE_ENV, dataDir } = options;
  if (CALLBACK_SECRETS === undefined && NODE_ENV === 'production')
    throw invalid('is required in production if CALLBACK_HOSTS is set');
  const parsed = parseCallbackSecrets(CALLBACK_SECRETS ?? ownSecret(dataDir));
  if (!parsed.ok) throw invalid(parsed.problem);
  return parsed.signer;
}

function invalid(problem: string): ConfigError {
  return new ConfigError(`The configuration is not valid:\n  CALLBACK_SECRETS: ${problem}`);
}

function ownSecret(dataDir: string): string {
  return secretInFile(
    join(dataDir, 'callback-secret'),
    () => `whsec_${randomBytes(secretBytes).toString('base64')}`,
  );
}
