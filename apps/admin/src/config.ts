/** The admin app's configuration: a pure function of the environment, frozen, with every mistake named at once. */
import { type Env, envFields, parseEnv, portField } from '@recloser/runtime/env/env';
import { z } from 'zod';
import { type AccountSource, type Role, roles } from './user/accounts.ts';
import { isPasswordHash } from './user/password.ts';

const accountHelp =
  'each account is name:role:hash (role viewer, operator or admin; make the hash with npm run hash-password)';

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
    /** Whose X-Forwarded-* headers count, as Express' `trust proxy` takes it. */
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
      const message = `nobody could log in: set ADMIN_PASSWORD, or ADMIN_USERS (${accountHelp})`;
      context.addIssue({ code: 'custom', path: ['ADMIN_USERS'], message });
    }
  });

/** What main.ts needs. No accounts: development, where a password is generated. */
export type AdminConfig = Readonly<z.output<typeof shape>> & { readonly accounts: readonly AccountSource[] };

/** Parses the environment. Throws `ConfigError`; in production that includes "no accounts". */
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
