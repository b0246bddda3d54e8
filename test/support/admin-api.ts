/** An HTTP client for the admin app's API: signs in once, then acts. */

export class AdminApi {
  readonly #url: string;
  readonly #cookie: string;

  private constructor(url: string, cookie: string) {
    this.#url = url;
    this.#cookie = cookie;
  }

  /** Signs in. The account must exist. */
  static async logIn(url: string, username: string, password: string): Promise<AdminApi> {
    const response = await fetch(`${url}/login`, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: url },
      body: new URLSearchParams({ username, password }),
    });
    if (response.status !== 303) throw new Error(`logging in answered ${response.status}`);
    const cookie = response.headers.getSetCookie().map((line) => line.split(';')[0]);
    return new AdminApi(url, cookie.join('; '));
  }

  async get(path: string): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(`${this.#url}${path}`, { headers: { cookie: this.#cookie } });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async page(path: string): Promise<string> {
    return await (await fetch(`${this.#url}${path}`, { headers: { cookie: this.#cookie } })).text();
  }

  /** Returns the first event of a stream as text. */
  async firstEvent(path: string): Promise<string> {
    const response = await fetch(`${this.#url}${path}`, { headers: { cookie: this.#cookie } });
    let text = '';
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      if (/^data: .*\n\n/m.test(text)) break;
    }
    return text;
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
