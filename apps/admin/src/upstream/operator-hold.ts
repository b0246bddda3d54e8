/** How long an operator's hold lasts when nobody says: a pause that is forgotten must not last for ever. */
import { mayAct, type Role } from '../user/accounts.ts';

const defaultMs = 60 * 60 * 1000;

/** One hour; only an admin's hold lasts until it is released (null). */
export function defaultHoldMs(role: Role): number | null {
  return mayAct(role, 'admin') ? null : defaultMs;
}
