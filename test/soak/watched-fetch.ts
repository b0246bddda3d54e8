/**
 * `fetch` that notes every answer of the API. Always true: an answer of 5xx other than 503 with `Retry-After`, and no
 * answer at all, are noted as wrong, whatever the caller makes of them.
 */
export class WatchedFetch {
  readonly statuses: Record<string, number> = {};
  readonly wrong: string[] = [];
  /** Longest time until an answer to something that does not wait, ms. */
  slowestMs = 0;

  readonly fetch: typeof fetch = async (input, init) => {
    const what = `${init?.method ?? 'GET'} ${new URL(String(input)).pathname.replace(/[0-9a-f-]{30,}/, '…')}`;
    const startedAt = performance.now();
    try {
      const response = await fetch(input, init);
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedAt);
      this.statuses[response.status] = (this.statuses[response.status] ?? 0) + 1;
      const allowed =
        response.status < 500 || (response.status === 503 && response.headers.has('retry-after'));
      if (!allowed) this.wrong.push(`${what} answered ${response.status}`);
      return response;
    } catch (error) {
      this.statuses.none = (this.statuses.none ?? 0) + 1;
      this.wrong.push(
        `${what} was not answered within ${Math.round(performance.now() - startedAt)} ms: ${String(error)}`,
      );
      throw error;
    }
  };
}
