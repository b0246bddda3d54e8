/** Where the secrets that sign callbacks come from. They are never logged; see also `callback-signature`. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type CallbackSigner, parseCallbackSecrets } from '@recloser/calls/callback/signature';
import { ConfigError } from '@recloser/runtime/env/env';
import { secretInFile } from '@recloser/runtime/secrets/secret-file';

const secretBytes = 32;

/**
 * The signer of `CALLBACK_SECRETS`. Without it, outside production, a secret is made once and kept in
 * `<dataDir>/callback-secret` (mode 0600), where a developer's receiver can read it. Throws `ConfigError`.
 */
export function loadCallbackSigner(options: {
  readonly CALLBACK_SECRETS?: string | undefined;
  readonly NODE_ENV: string;
  readonly dataDir: string;
}): CallbackSigner {
  const { CALLBACK_SECRETS, NODE_ENV, dataDir } = options;
  if (CALLBACK_SECRETS === undefined && NODE_ENV === 'production')
    throw invalid('is required in production while CALLBACK_HOSTS is set');
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
