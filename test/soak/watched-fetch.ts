/** A `fetch` that records as wrong every 5xx of the API except 503 with `Retry-After`, and every missing answer. */
export class WatchedFetch {
  readonly statuses: Record<string, number> = {};
  readonly wrong: string[] = [];
  /** The slowest answer to a request that does not long-poll, in ms. */
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
