/**
 * Who may log in. Always true: a check costs the same whether or not the user exists, and changing an
 * account's password or taking the account away ends its sessions (the stamp no longer matches).
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { hashPassword, verifyPassword } from './password.ts';

/** What a role may do, weakest first: look, act, configure. */
export const roles = ['viewer', 'operator', 'admin'] as const;
/** One of `roles`. */
export type Role = (typeof roles)[number];

/** Somebody who is logged in. */
export type User = { readonly name: string; readonly role: Role };

/** One configured account; `secret` is a hash from `npm run hash-password` or, for ADMIN_PASSWORD, the password. */
export type AccountSource =
  | { readonly kind: 'hash'; readonly name: string; readonly role: Role; readonly hash: string }
  | { readonly kind: 'password'; readonly name: string; readonly role: Role; readonly password: string };

/** True when `role` may do what needs `needed`. */
export function mayAct(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}

type Verify = (password: string, hash: string) => Promise<boolean>;
type Account = { readonly user: User; readonly hash: string; readonly stamp: string };

/** The accounts of this process. */
export class Accounts {
  readonly #byName: ReadonlyMap<string, Account>;
  readonly #decoyHash: string;
  readonly #verify: Verify;

  private constructor(accounts: readonly Account[], decoyHash: string, verify: Verify) {
    this.#byName = new Map(accounts.map((account) => [account.user.name, account]));
    this.#decoyHash = decoyHash;
    this.#verify = verify;
  }

  /** `stampKey` keys the stamps kept in sessions, so that a stamp says nothing about a hash. */
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
    // The decoy costs what a real account costs, or the answer time would tell which users exist.
    return new Accounts(accounts, accounts[0]?.hash ?? (await hashPassword('no account')), verify);
  }

  /** The user, or null when name or password is wrong; which of the two cannot be told. */
  async check(name: string, password: string): Promise<{ user: User; stamp: string } | null> {
    const account = this.#byName.get(name);
    const matches = await this.#verify(password, account?.hash ?? this.#decoyHash);
    return account !== undefined && matches ? { user: account.user, stamp: account.stamp } : null;
  }

  /** The user a session belongs to, as configured now; null when the account changed or went away. */
  find(name: string, stamp: string): User | null {
    const account = this.#byName.get(name);
    if (account === undefined) return null;
    const [given, wanted] = [Buffer.from(stamp), Buffer.from(account.stamp)];
    return given.length === wanted.length && timingSafeEqual(given, wanted) ? account.user : null;
  }
}
