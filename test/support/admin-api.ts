/** Uses the admin app's API as a script would: log in once, then act. */
import { expect } from 'vitest';

export class AdminApi {
  readonly #url: string;
  readonly #cookie: string;

  private constructor(url: string, cookie: string) {
    this.#url = url;
    this.#cookie = cookie;
  }

  /** Logs in; the account must exist. */
  static async logIn(url: string, username: string, password: string): Promise<AdminApi> {
    const response = await fetch(`${url}/login`, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: url },
      body: new URLSearchParams({ username, password }),
    });
    expect(response.status).toBe(303);
    const cookie = response.headers.getSetCookie().map((line) => line.split(';')[0]);
    return new AdminApi(url, cookie.join('; '));
  }

  async post(path: string, body: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(`${this.#url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: this.#url, cookie: this.#cookie },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: text ? (JSON.parse(text) as Record<string, unknown>) : {} };
  }
}
