/** The dashboard during an outage and a rate limit, and every page. */
import { describe, expect, it } from 'vitest';
import { allEnded, postVisits, until } from '../support/stack.ts';
import {
  act,
  audit,
  axe,
  boardIsDrawn,
  card,
  dueNow,
  focusedChip,
  focusedStop,
  isFocused,
  isOutsideDialog,
  isPaused,
  logIn,
  page,
  picture,
  record,
  redis,
  root,
  see,
  shown,
  tabTo,
  test,
  untilAxeFindsNothing,
  useDashboard,
  watchCard,
  watched,
  word,
} from './dashboard.ts';

useDashboard();

describe('an outage from start to finish', () => {
  let ids: string[] = [];

  it('starts closed', async () => {
    await postVisits(test.api, 12, 0).then((made) => allEnded(test.api, made));
    await see(word(), /^closed$/);
    await see(card().locator('.effect'), /^Calls are made\.$/);
    await see(page.locator('#as-of'), /live$/);
    await picture('breakers-closed');
  });

  it('opens and shows the reason, the failing workers, the next trial and the held calls', async () => {
    // All workers have calls in flight before the first fails. A worker that fails alone would be set aside.
    await test.api.faults([
      { kind: 'latency', ms: 500 },
      { kind: 'status', status: 503 },
    ]);
    ids = await postVisits(test.api, 30, 100);
    await see(word(), /^open$/);
    await see(card().locator('[data-fact="why"]'), /^5 failures in a row, the last one: /);
    await see(
      card().locator('[data-fact="next"]'),
      /in \d min \d+ s .*If it fails, the breaker stays open for/,
    );
    await see(card().locator('[data-fact="held"]'), /^\d+ calls?$/);
    await see(card().locator('.failing'), /failure/);
    await see(card().locator('.errors'), /schedule-event|http_|upstream/);
    await see(card().locator('.countdown strong'), /^\d:\d\d$/);
    await see(card().getByText('All parts agree'), /agree/);
    await card().getByRole('button', { name: '1 hour' }).click();
    expect(await axe(page)).toEqual([]);
    await picture('breakers-open');
    const dark = await logIn('viewer', { colorScheme: 'dark' });
    await see(word('crossmark', dark.page), /^open$/);
    await dark.page.locator('.spans button').nth(1).click();
    expect(await axe(dark.page)).toEqual([]);
    await picture('breakers-dark', dark.page);
    expect(dark.wrongs).toEqual([]);
    await dark.page.context().close();
  });

  it('is shown on every page of the board, whose "resume all" does not close it', async () => {
    const board = await logIn('operator');
    await board.page.goto('/queues');
    const chip = board.page.locator('recloser-strip a').first();
    await see(chip, /Crossmark\s*open\s*\d+ calls held/);
    expect(await chip.getAttribute('href')).toBe('/breakers#card-crossmark');
    await board.page.getByText('Loading...').waitFor({ state: 'detached' });
    await picture('queues', board.page);
    const resumed = await board.page.request.put('/queues/api/queues/resume', {
      headers: { 'sec-fetch-site': 'same-origin' },
    });
    expect(resumed.status()).toBe(200);
    await until(async () => expect(await isPaused()).toBe(true));
    expect((await record()).state).not.toBe('closed');
    await board.page.goto('/queues/queue/crossmark');
    await see(board.page.locator('recloser-strip ul'), /Crossmark/);
    expect(board.wrongs).toEqual([]);
    await board.page.context().close();
  });

  it('probes, ramps and closes automatically, and the ledger shows no lost call', async () => {
    await watchCard();
    await test.api.faults([{ kind: 'latency', ms: 4_000, operation: 'schedule-event' }]);
    await dueNow.trial();
    await see(word(), /^ramping, [2-8] of 12$/);
    await picture('breakers-ramping');
    expect(await axe(page)).toEqual([]);
    await test.api.faults([]);
    await see(word(), /^closed$/);
    expect(await allEnded(test.api, ids)).toEqual({ succeeded: ids.length });
    expect((await shown('word')).filter((text) => text.startsWith('ramping')).length).toBeGreaterThan(1);
    await card().locator('.incidents a').first().click();
    await page.waitForURL('**/incidents/crossmark/*');
    const sums = page.locator('.sums');
    await see(sums, /Lost0/);
    await see(page.locator('.story'), /Opened.*Trial started.*Closed/s);
    await picture('incident', page, true);
    const [{ id }] = (
      (await (await page.request.get('/api/incidents')).json()) as { incidents: { id: string }[] }
    ).incidents as [{ id: string }];
    const saved = await page.request.get(`/api/incidents/crossmark/${id}?download`);
    expect(saved.headers()['content-disposition']).toContain('attachment');
    expect(await saved.json()).toMatchObject({
      upstream: 'crossmark',
      calls: { lost: 0, inDoubt: 0, waiting: 0 },
      trials: expect.any(Number),
    });
    await page.goto('/incidents');
    await see(page.locator('tbody tr').first(), /Crossmark/);
    await picture('incidents');
    await page.goto('/breakers');
  });
});

describe('a rate-limit hold', () => {
  it('pauses the queue as long as the upstream asked, and the breaker stays closed', async () => {
    await test.api.faults([{ kind: 'status', status: 429, retryAfterSeconds: 300, times: 1 }]);
    const ids = await postVisits(test.api, 6, 400);
    await see(card().locator('.chips'), /^held: rate-limit$/);
    await see(word(), /^closed$/);
    await see(card().locator('.effect'), /^Held by rate-limit; calls wait\.$/);
    await see(card().locator('.countdown'), /^hold ends in\s*\d:\d\d$/);
    await until(async () => expect(await card().getAttribute('data-trouble')).toBe('held'));
    await until(async () => expect(await isPaused()).toBe(true));
    expect(await axe(page)).toEqual([]);
    await picture('breakers-rate-limit');
    const hold = JSON.parse((await redis.hget(`${root}:holds`, 'rate-limit')) ?? '{}');
    expect(hold.until - hold.since).toBeGreaterThanOrEqual(300_000);
    await test.api.faults([]);
    await dueNow.endOfHold('rate-limit');
    expect(await allEnded(test.api, ids)).toEqual({ succeeded: ids.length });
    await see(card().locator('.effect'), /^Calls are made\.$/);
  });
});

describe('every page', () => {
  const ownPaths = ['/breakers', '/incidents', '/audit', '/in-doubt', '/sign-in/walmart-edr'];
  const paths = [...ownPaths, '/queues', '/queues/queue/crossmark?status=completed'];

  it.each(['light', 'dark'] as const)('has no axe violations (%s)', async (colorScheme) => {
    const seen = await logIn('operator', { colorScheme });
    for (const path of [...paths, '/login', '/nowhere']) {
      if (path === '/nowhere') await seen.page.goto(path).then(() => seen.expected(/404/));
      else await seen.page.goto(path);
      if (path === '/breakers') await see(word('crossmark', seen.page), /closed/);
      if (path.startsWith('/queues')) await boardIsDrawn(seen.page);
      await untilAxeFindsNothing(seen.page, path);
    }
    await seen.page.goto('/incidents');
    await seen.page.locator('tbody a').first().click();
    await seen.page.waitForURL('**/incidents/crossmark/*');
    expect(await axe(seen.page)).toEqual([]);
    await seen.page.goto('/queues/queue/crossmark?status=failed');
    await see(seen.page.locator('recloser-strip ul'), /Crossmark/);
    await seen.page.getByText('Loading...').waitFor({ state: 'detached' });
    await untilAxeFindsNothing(seen.page, 'failed jobs');
    await seen.page.goto('/breakers');
    await card('crossmark', seen.page).locator('button[data-action="hold"]:enabled').click();
    await seen.page.getByRole('dialog').waitFor();
    expect(await axe(seen.page)).toEqual([]);
    expect(seen.wrongs).toEqual([]);
    await seen.page.context().close();
  });

  it.each([
    [360, 'light'],
    [360, 'dark'],
    [1920, 'light'],
  ] as const)('does not overflow at %i px (%s)', async (width, colorScheme) => {
    const seen = await logIn('operator', { viewport: { width, height: 900 }, colorScheme });
    for (const path of paths) {
      await seen.page.goto(path);
      if (path === '/breakers') await see(word('crossmark', seen.page), /closed/);
      if (path.startsWith('/queues')) await boardIsDrawn(seen.page);
      // A small screen has another order and other menus. Colours are checked above.
      if (width === 360 && colorScheme === 'light') await untilAxeFindsNothing(seen.page, path);
      const wide = await seen.page.evaluate<number>('document.documentElement.scrollWidth');
      expect([path, wide]).toEqual([path, width]);
    }
    await seen.page.goto('/breakers');
    await see(word('crossmark', seen.page), /closed/);
    if (colorScheme === 'light') await picture(`breakers-${width}`, seen.page);
    if (width === 360) {
      await seen.page.goto('/queues');
      await see(seen.page.locator('recloser-strip ul'), /Crossmark/);
      await seen.page.getByText('Loading...').waitFor({ state: 'detached' });
      if (colorScheme === 'light') await picture('queues-360', seen.page);
      else await picture('queues-360-dark', seen.page);
    }
    expect(seen.wrongs).toEqual([]);
    await seen.page.context().close();
  });

  it('works by keyboard alone: actions, and a dialog that traps and returns the focus', async () => {
    await page.goto('/breakers');
    await see(word(), /^closed$/);
    await page.keyboard.press('Tab');
    expect(await page.evaluate<string>('document.activeElement.textContent')).toBe('Skip to content');
    await tabTo('hold');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    expect(await page.evaluate<string>('document.activeElement.name')).toBe('reason');
    // More presses than the dialog has elements: the page behind it is never reached.
    for (let presses = 0; presses < 12; presses += 1) {
      await page.keyboard.press('Tab');
      expect(await page.evaluate(isOutsideDialog)).toBe(false);
    }
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await isFocused('hold')).toBe(true);
    for (const action of ['hold', 'release', 'open', 'close'] as const) {
      await page.evaluate('document.activeElement.blur()');
      await card().locator(`button[data-action="${action}"]:enabled`).waitFor();
      await dueNow.tryByHand();
      await tabTo(action);
      await page.keyboard.press('Enter');
      await page.getByRole('dialog').waitFor();
      await page.keyboard.type(`by keyboard: ${action}`);
      await page.keyboard.press('Enter');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      expect([action, await isFocused(action)]).toEqual([action, true]);
      expect((await audit())[0]).toMatchObject({ action, reason: `by keyboard: ${action}` });
    }
    await see(word(), /^closed$/);
  });

  it.each([...ownPaths, '/queues'])(
    'has a visible focus and a name for each focusable element: %s',
    async (path) => {
      await page.goto(path);
      if (path === '/breakers') await see(word(), /^closed$/);
      if (path === '/queues') await see(page.locator('recloser-strip ul'), /Crossmark/);
      const stops = new Set<string>();
      for (let presses = 0; presses < 60; presses += 1) {
        await page.keyboard.press('Tab');
        const stop = await page.evaluate<{ what: string; isSeen: boolean; name: string } | null>(focusedStop);
        if (stop === null) break;
        expect(stop).toMatchObject({ isSeen: true, name: expect.stringMatching(/\S/) });
        stops.add(stop.what);
      }
      expect(stops.size).toBeGreaterThan(5);
    },
  );

  it('keeps the focus on a chip of the strip during its countdown', async () => {
    await page.goto('/breakers');
    await act(page, 'hold', 'to see it count', '15 minutes');
    await page.goto('/queues');
    const chip = page.locator('recloser-strip a').first();
    await see(chip, /Crossmark.*held: operator.*1\d:\d\d$/);
    await chip.focus();
    const before = await chip.textContent();
    await until(async () => expect(await chip.textContent()).not.toBe(before));
    expect(await page.evaluate(focusedChip)).toBe('/breakers#card-crossmark');
    expect(await chip.getAttribute('aria-label')).toMatch(
      /^Crossmark: closed, held: operator, 0 calls held, hold ends in/,
    );
    await page.keyboard.press('Enter');
    await page.waitForURL('**/breakers#card-crossmark');
    await act(page, 'release', 'seen');
  });

  it('has no animation with reduced motion', async () => {
    const still = await logIn('viewer', { reducedMotion: 'reduce' });
    // Without the first snapshot the placeholders stay visible.
    await still.page.route('**/api/upstreams/stream', () => {});
    for (const path of ['/breakers', '/queues']) {
      await still.page.goto(path);
      if (path === '/breakers') {
        await still.page.locator('.skeleton').first().waitFor();
        await picture('breakers-loading', still.page);
      }
      expect([path, await still.page.evaluate('document.getAnimations().length')]).toEqual([path, 0]);
    }
    await still.page.context().close();
  });

  it('does not run inline scripts', async () => {
    for (const path of paths) {
      const policy = (await page.request.get(path)).headers()['content-security-policy'] ?? '';
      const scripts = /script-src ([^;]*)/.exec(policy)?.[1];
      expect([path, scripts, policy.includes("default-src 'none'")]).toEqual([path, "'self'", true]);
    }
    for (const path of ['/breakers', '/queues']) {
      await page.goto(path);
      await page.evaluate(`{
        const script = document.createElement('script');
        script.textContent = 'globalThis.ranInline = true';
        document.body.append(script);
      }`);
      expect(await page.evaluate("'ranInline' in globalThis")).toBe(false);
      await until(() => watched.expected(/Content Security Policy/));
    }
  });
});

describe('during a failure', () => {
  it('shows stale data as stale, and recovers after a restart of admin', async () => {
    await page.goto('/breakers');
    await see(word(), /^closed$/);
    await page.evaluate(() => Object.assign(globalThis, { neverReloaded: true }));
    await test.stack.kill(test.stack.admin);
    await see(page.locator('#as-of'), /old: the connection is lost/);
    await see(word(), /^stale \(was closed\)$/);
    expect(await card().locator('button[data-action="hold"]').isDisabled()).toBe(true);
    expect(await axe(page)).toEqual([]);
    await picture('breakers-stale');
    await test.stack.revive(test.stack.admin);
    await see(page.locator('#as-of'), /live$/);
    await see(word(), /^closed$/);
    expect(await page.evaluate(() => 'neverReloaded' in globalThis)).toBe(true);
    while (watched.wrongs.length > 0) watched.expected(/ERR_|Failed to load/);
  });

  it('recovers after a restart of Redis', async () => {
    await test.stack.redis?.kill();
    await see(page.locator('#as-of'), /old: Redis cannot be read/);
    await see(word(), /^stale/);
    await test.stack.redis?.restart();
    await until(async () => expect(await redis.ping()).toBe('PONG'));
    await see(page.locator('#as-of'), /live$/);
    const ids = await until(() => postVisits(test.api, 5, 700));
    await allEnded(test.api, ids);
    await see(word(), /^closed$/);
    while (watched.wrongs.length > 0) watched.expected(/ERR_|Failed to load|503/);
  });

  it('shows a queue paused without a hold as a mismatch, with the fix, until it is repaired', async () => {
    await page.goto('/breakers');
    await see(word(), /^closed$/);
    // Frozen workers do not repair the mismatch, so it stays visible.
    for (const worker of test.stack.workers) await test.stack.kill(worker, 'SIGSTOP');
    await redis.hset(`${root}:crossmark:meta`, 'paused', '1');
    await see(card().locator('.mismatch').first(), /paused, but no hold is active.*repairs this/);
    await see(card().locator('summary.bad'), /Not all parts agree/);
    expect(await axe(page)).toEqual([]);
    await picture('breakers-mismatch');
    for (const worker of test.stack.workers) await test.stack.kill(worker, 'SIGCONT');
    await until(async () => expect(await card().locator('.mismatch').count()).toBe(0));
    await until(async () => expect(await isPaused()).toBe(false));
    await card().getByText('Last transitions').click();
    await see(card().locator('.timeline'), /repair: put right/);
  });

  it('reads Redis once for fifty open dashboards, and calls continue', async () => {
    const cookies = await page.context().cookies();
    const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
    /** Number of reads of the transitions: one per upstream and snapshot, and no other reader now. */
    const readings = async () =>
      Number(/cmdstat_xrevrange:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1]);
    const stop = new AbortController();
    let heard = 0;
    const watchers = 50;
    const streams = Array.from({ length: watchers }, async () => {
      const answer = await fetch(`${test.stack.urls.admin}/api/upstreams/stream`, {
        headers: { cookie },
        signal: stop.signal,
      });
      for await (const _ of answer.body ?? []) heard += 1;
    });
    void Promise.allSettled(streams);
    await until(() => expect(heard).toBeGreaterThan(100));
    expect(await allEnded(test.api, await postVisits(test.api, 100, 4_000))).toEqual({ succeeded: 100 });
    // The number of reads does not grow with the number of listeners.
    const [before, from] = [await readings(), heard];
    await until(() => expect(heard - from).toBeGreaterThan(3 * watchers));
    const read = (await readings()) - before;
    const snapshots = Math.ceil((heard - from) / watchers);
    expect(read).toBeGreaterThan(0);
    // Two upstreams. A snapshot may be in progress at either end.
    expect(read).toBeLessThanOrEqual(2 * (snapshots + 2));
    stop.abort();
  });
});
