/**
 * Accounts and roles. A check takes the same time whether or not the user exists. Changing or removing an account
 * ends its sessions, because their stamp no longer matches.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { hashPassword, verifyPassword } from './password.ts';

/** Roles, weakest first. Each includes the one before. */
export const roles = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof roles)[number];

/** A logged-in user. */
export type User = { readonly name: string; readonly role: Role };

/** One configured account: a hash from ADMIN_USERS, or the password from ADMIN_PASSWORD. */
export type AccountSource =
  | { readonly kind: 'hash'; readonly name: string; readonly role: Role; readonly hash: string }
  | { readonly kind: 'password'; readonly name: string; readonly role: Role; readonly password: string };

/** True when `role` includes `needed`. */
export function mayAct(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}

type Verify = (password: string, hash: string) => Promise<boolean>;
type Account = { readonly user: User; readonly hash: string; readonly stamp: string };

/** The configured accounts. */
export class Accounts {
  readonly #byName: ReadonlyMap<string, Account>;
  readonly #decoyHash: string;
  readonly #verify: Verify;

  private constructor(accounts: readonly Account[], decoyHash: string, verify: Verify) {
    this.#byName = new Map(accounts.map((account) => [account.user.name, account]));
    this.#decoyHash = decoyHash;
    this.#verify = verify;
  }

  /** Hashes plain passwords. `stampKey` keys the session stamps, so that a stamp reveals nothing about a hash. */
  static async open(
    sources: readonly AccountSource[],
    stampKey: Buffer,
    verify: Verify = verifyPassword,
  ): Promise<Accounts> {
    const accounts = await Promise.all(
      sources.map(async (source): Promise<Account> => {
        const secret = source.kind === 'hash' ? source.hash : source.password;
        const stamp = createHmac('sha256', stampKey)
          .update(`${source.name}:${source.role}:${secret}`)
          .digest('base64url');
        const hash = source.kind === 'hash' ? source.hash : await hashPassword(source.password);
        return { user: { name: source.name, role: source.role }, hash, stamp };
      }),
    );
    // The decoy has the cost of a real hash. Otherwise response times would reveal which users exist.
    return new Accounts(accounts, accounts[0]?.hash ?? (await hashPassword('no account')), verify);
  }

  /** The user, or null when the name or the password is wrong. */
  async check(name: string, password: string): Promise<{ user: User; stamp: string } | null> {
    const account = this.#byName.get(name);
    const matches = await this.#verify(password, account?.hash ?? this.#decoyHash);
    return account !== undefined && matches ? { user: account.user, stamp: account.stamp } : null;
  }

  /** The user of a session with its current role; null when the account was changed or removed. */
  find(name: string, stamp: string): User | null {
    const account = this.#byName.get(name);
    if (account === undefined) return null;
    const [given, wanted] = [Buffer.from(stamp), Buffer.from(account.stamp)];
    return given.length === wanted.length && timingSafeEqual(given, wanted) ? account.user : null;
  }
}
