/** The configuration of the admin app, parsed from the environment. */
import { type Env, envFields, parseEnv, portField } from '@recloser/runtime/env/env';
import { z } from 'zod';
import { type AccountSource, type Role, roles } from './user/accounts.ts';
import { isPasswordHash } from './user/password.ts';

const accountHelp =
  'each account is name:role:hash (role viewer, operator or admin; create the hash with npm run hash-password)';

const usersField = z
  .string()
  .trim()
  .transform((text, context): AccountSource[] => {
    const accounts = text.split(/\s+/).map(parseAccount);
    const names = accounts.map((account) => account?.name);
    if (accounts.includes(null)) context.addIssue({ code: 'custom', message: accountHelp });
    else if (new Set(names).size < names.length) {
      context.addIssue({ code: 'custom', message: 'two accounts have the same name' });
    }
    return accounts.filter((account) => account !== null);
  });

const shape = z
  .object({
    ...envFields,
    ADMIN_PORT: portField(3001),
    ADMIN_PASSWORD: z.string().min(8, 'must have at least 8 characters').max(1000, 'is too long').optional(),
    ADMIN_USERS: usersField.optional(),
    /** Express' `trust proxy` setting. */
    ADMIN_TRUST_PROXY: z.string().trim().default('loopback'),
    SESSION_KEY: z.string().optional(),
    DATA_DIR: z.string().trim().default('.data'),
  })
  .superRefine((env, context) => {
    if (env.ADMIN_USERS !== undefined && env.ADMIN_PASSWORD !== undefined) {
      const message = 'set either ADMIN_PASSWORD (one account named admin) or ADMIN_USERS, not both';
      context.addIssue({ code: 'custom', path: ['ADMIN_PASSWORD'], message });
    }
    if (env.NODE_ENV === 'production' && env.ADMIN_USERS === undefined && env.ADMIN_PASSWORD === undefined) {
      const message = `no account is configured: set ADMIN_PASSWORD, or ADMIN_USERS (${accountHelp})`;
      context.addIssue({ code: 'custom', path: ['ADMIN_USERS'], message });
    }
  });

/** The configuration. Without accounts, which only development allows, a password is generated. */
export type AdminConfig = Readonly<z.output<typeof shape>> & { readonly accounts: readonly AccountSource[] };

/** Parses the environment. Throws a `ConfigError` that names every mistake. Production requires an account. */
export function parseConfig(env: Env): AdminConfig {
  const parsed = parseEnv(shape, env);
  const one: AccountSource[] =
    parsed.ADMIN_PASSWORD === undefined
      ? []
      : [{ kind: 'password', name: 'admin', role: 'admin', password: parsed.ADMIN_PASSWORD }];
  return Object.freeze({ ...parsed, accounts: parsed.ADMIN_USERS ?? one });
}

function parseAccount(text: string): AccountSource | null {
  const [name = '', role = '', hash = '', ...rest] = text.split(':');
  const isAccount = /^[\w.@-]{1,64}$/.test(name) && isRole(role) && isPasswordHash(hash) && rest.length === 0;
  return isAccount ? { kind: 'hash', name, role, hash } : null;
}

function isRole(text: string): text is Role {
  return (roles as readonly string[]).includes(text);
}
