/** Default duration of an operator hold, so that a forgotten hold ends. */
import { mayAct, type Role } from '../user/accounts.ts';

const defaultMs = 60 * 60 * 1000;

/** One hour in milliseconds. Null for an admin, whose hold lasts until it is released. */
export function defaultHoldMs(role: Role): number | null {
  return mayAct(role, 'admin') ? null : defaultMs;
}
