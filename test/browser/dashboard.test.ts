/**
 * The dashboard in a real browser against the whole system: an outage, every action of an operator with its effect in
 * Redis and in the audit log, and the limits of a viewer. UPDATE_SCREENSHOTS=1 updates the screenshots in docs/images.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { hashPassword } from '@recloser/admin/user/password';
import { Redis } from 'ioredis';
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DueNow } from '../support/due-now.ts';
import { launchChromium, openPage, type WatchedPage } from '../support/programs/chromium.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const images = fileURLToPath(new URL('../../docs/images/', import.meta.url));
const largestImageBytes = 200_000;
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** One person for each role. */
const people = { viewer: 'vera', operator: 'olu', admin: 'ada' } as const;
const root = 'recloser:{crossmark}';

let browser: Browser;
let test: TestStack;
let redis: Redis;
let dueNow: DueNow;
let watched: WatchedPage;
let page: Page;
const password = randomBytes(9).toString('base64url');

beforeAll(async () => {
  const hash = await hashPassword(password, 1024);
  browser = await launchChromium();
  test = await startTestStack({
    workers: 3,
    env: {
      ADMIN_USERS: Object.entries(people)
        .map(([role, name]) => `${name}:${role}:${hash}`)
        .join(' '),
      // No trial starts before the test asks for one, and no slow answer times out.
      CROSSMARK_BREAKER_RESET_MS: '300000',
      CROSSMARK_TIMEOUT_MS: '60000',
      WORKER_CONCURRENCY: '4',
    },
  });
  redis = new Redis(test.stack.redisUrl);
  // A later test restarts Redis.
  redis.on('error', () => {});
  dueNow = new DueNow(redis);
  watched = await logIn('operator');
  page = watched.page;
});

afterAll(async () => {
  await browser?.close();
  redis?.disconnect();
  await test?.[Symbol.asyncDispose]();
});

afterEach(() => {
  expect(watched.wrongs).toEqual([]);
});

async function logIn(role: keyof typeof people, options: BrowserContextOptions = {}): Promise<WatchedPage> {
  const opened = await openPage(browser, test.stack.urls.admin, {
    viewport: { width: 1200, height: 920 },
    ...options,
  });
  await opened.page.goto('/login');
  await opened.page.getByLabel('User name').fill(people[role]);
  await opened.page.getByLabel('Password').fill(password);
  await opened.page.getByRole('button', { name: 'Log in' }).click();
  await opened.page.waitForURL('**/breakers');
  return opened;
}

const card = (name = 'crossmark', on: Page = page): Locator => on.locator(`section[data-upstream="${name}"]`);
const word = (name = 'crossmark', on: Page = page): Locator => card(name, on).locator('.badge .word');
const see = (locator: Locator, text: string | RegExp) =>
  until(async () => expect((await locator.textContent())?.trim()).toMatch(text));

async function picture(name: string, from: Page = page, fullPage = false): Promise<void> {
  if (process.env.UPDATE_SCREENSHOTS !== '1') return;
  await mkdir(images, { recursive: true });
  const path = `${images}${name}.png`;
  // A retry run is shown at the end of the card.
  if (!name.startsWith('retry')) await from.evaluate('scrollTo(0, 0)');
  await from.screenshot({ path, animations: 'disabled', fullPage });
  expect((await stat(path)).size).toBeLessThan(largestImageBytes);
}

/** The violations that axe finds, one per line. `evaluate` bypasses the page's content security policy. */
async function axe(on: Page): Promise<string[]> {
  await on.evaluate(axeSource);
  return await on.evaluate<string[]>(
    `axe.run(document).then(({ violations }) => violations.map(({ id, nodes }) =>
      id + ': ' + nodes.map(({ html }) => html.slice(0, 120)).join(' | ')))`,
  );
}

/** Repeats, because the page may still render. One run of axe is slow on a busy machine. */
const untilAxeFindsNothing = (on: Page, what: string) =>
  until(async () => expect([what, await axe(on)]).toEqual([what, []]), 120_000);

/** Waits for Bull Board's page and the strip. */
async function boardIsDrawn(on: Page): Promise<void> {
  await see(on.locator('recloser-strip ul'), /Crossmark/);
  await on.getByText('Loading...').waitFor({ state: 'detached' });
}

type AuditEntry = { user: string; action: string; target?: string; reason?: string; outcome?: string };

async function audit(on: Page = page): Promise<AuditEntry[]> {
  const answer = await on.request.get('/api/audit');
  return ((await answer.json()) as { entries: AuditEntry[] }).entries;
}

/** Runs an action of the card with a reason. Returns the effect that the dialog describes. */
async function act(on: Page, action: string, reason: string, length?: string): Promise<string> {
  await dueNow.tryByHand();
  await card('crossmark', on).locator(`button[data-action="${action}"]:enabled`).click();
  const dialog = on.getByRole('dialog');
  const says = (await dialog.locator('#dialog-says').textContent()) ?? '';
  await dialog.getByLabel(/^Reason/).fill(reason);
  if (length) await dialog.getByLabel('Duration').selectOption({ label: length });
  await dialog.locator('button[type="submit"]').click();
  await dialog.waitFor({ state: 'detached' });
  await see(card('crossmark', on).locator('.act .answer'), /^Done/);
  const [last] = await audit(on);
  expect(last).toMatchObject({ action, target: 'crossmark', reason });
  return says;
}

/** Settles the call in doubt on the page. */
async function settle(button: string, says: string, reason: string, confirm: string): Promise<void> {
  await page.getByRole('button', { name: button }).click();
  const dialog = page.getByRole('dialog');
  await see(dialog.locator('#dialog-says'), new RegExp(says));
  expect(await axe(page)).toEqual([]);
  await dialog.getByLabel(/^Reason/).fill(reason);
  await dialog.getByRole('button', { name: confirm }).click();
  await dialog.waitFor({ state: 'detached' });
  await see(page.locator('.in-doubt [role="status"]'), /Open the call$/);
}

const focusedAction =
  "[document.activeElement?.closest('section')?.dataset.upstream, document.activeElement?.dataset.action].join(' ')";
const isFocused = async (action: string) =>
  (await page.evaluate<string>(focusedAction)) === `crossmark ${action}`;
const isOutsideDialog =
  "document.activeElement !== document.body && document.activeElement.closest('dialog') === null";
const focusedChip = "document.querySelector('recloser-strip').shadowRoot.activeElement?.getAttribute('href')";
/** The focused element with its name, and whether its focus is visible; null at the end of the page. */
const focusedStop = `{
  const outer = document.activeElement;
  const at = outer.shadowRoot?.activeElement ?? outer;
  const style = getComputedStyle(at);
  const isSeen = (style.outlineStyle !== 'none' && style.outlineWidth !== '0px') || style.boxShadow !== 'none';
  const label = at.labels?.[0]?.textContent ?? '';
  const name = [at.getAttribute('aria-label'), label, at.textContent, at.title, at.placeholder].filter(Boolean).join(' ');
  outer === document.body ? null : { what: at.outerHTML.slice(0, 300), isSeen, name };
}`;

/** Presses Tab until this button of the first card has the focus. */
async function tabTo(action: string): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    if (await isFocused(action)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not reach ${action}`);
}

const record = () => redis.hgetall(`${root}:breaker`);
const isPaused = async () => (await redis.hget(`${root}:crossmark:meta`, 'paused')) !== null;

/** Records what the card shows from now on, so that no short-lived state is missed. */
async function watchCard(): Promise<void> {
  await page.evaluate(`{
    const card = document.querySelector('section[data-upstream="crossmark"]');
    const places = { word: '.badge .word', next: '[data-fact="next"]', effect: '.effect' };
    globalThis.shown = { word: new Set(), next: new Set(), effect: new Set() };
    const note = () => {
      for (const [name, place] of Object.entries(places))
        globalThis.shown[name].add(card.querySelector(place).textContent);
    };
    new MutationObserver(note).observe(card, { childList: true, characterData: true, subtree: true });
  }`);
}

type Place = 'word' | 'next' | 'effect';
const shown = (place: Place) => page.evaluate<string[]>(`[...globalThis.shown.${place}]`);

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
    expect(await isPaused()).toBe(true);
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
    expect(await card().getAttribute('data-trouble')).toBe('held');
    expect(await isPaused()).toBe(true);
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

describe('actions of an operator', () => {
  it('hold pauses the queue, release resumes it', async () => {
    await see(word(), /^closed$/);
    await card().locator('button[data-action="hold"]').click();
    await see(page.getByRole('dialog'), /No call is started/);
    await picture('dialog');
    await page.keyboard.press('Escape');
    expect(await isPaused()).toBe(false);
    const says = await act(page, 'hold', 'the night shift changes tables', '4 hours');
    expect(says).toContain('are accepted and stored');
    expect(await isPaused()).toBe(true);
    const hold = JSON.parse((await redis.hget(`${root}:holds`, 'operator')) ?? '{}');
    expect(hold).toMatchObject({ owner: 'olu', reason: 'the night shift changes tables' });
    expect(hold.until - Date.now()).toBeGreaterThan(3.9 * 3_600_000);
    await see(card().locator('.chips'), /held: operator/);
    await picture('breakers-held');
    expect(await axe(page)).toEqual([]);
    await act(page, 'release', 'tables are there');
    expect(await isPaused()).toBe(false);
    expect(await redis.hexists(`${root}:holds`, 'operator')).toBe(0);
  });

  it('force open opens the breaker, probe now and close run a probe and the ramp', async () => {
    await act(page, 'open', 'they told us of their maintenance', '1 hour');
    await see(word(), /^open, forced$/);
    expect(await record()).toMatchObject({ state: 'open', forced: '1' });
    await see(card().locator('[data-fact="next"]'), /in 59 min|in 1 h/);
    await see(
      card().locator('[data-fact="why"]'),
      /^they told us of their maintenance, forced by olu(; \d+ recent trips)?$/,
    );
    await see(card().locator('.meter-text'), /^0 of 5 failures in a row$/);
    expect(await axe(page)).toEqual([]);
    await picture('breakers-forced');
    await test.api.faults([{ kind: 'latency', ms: 4_000, times: 1 }]);
    await watchCard();
    await act(page, 'probe', 'they say they are done');
    await until(async () => expect(await shown('word')).toContain('half-open, probing'));
    await picture('breakers-probing');
    await see(word(), /^closed$/);
    expect((await shown('next')).join('\n')).toContain('probe running on ');
    expect((await shown('effect')).join('\n')).toContain('A worker probes the upstream');
    expect(await record()).toMatchObject({ state: 'closed' });
    await act(page, 'open', 'a second time', '15 minutes');
    await act(page, 'close', 'all is well');
    await see(word(), /^closed$/);
  });

  it('close fully is for admins only, and skips the ramp', async () => {
    await act(page, 'open', 'again', '1 hour');
    expect(await card().locator('button[data-action="close-full"]').count()).toBe(0);
    const refused = await page.request.post('/api/upstreams/crossmark/actions', {
      data: { action: 'close-full', reason: 'x' },
      headers: { 'sec-fetch-site': 'same-origin' },
    });
    expect(refused.status()).toBe(403);
    const admin = await logIn('admin');
    const says = await act(admin.page, 'close-full', 'it is certainly up');
    expect(says).toContain('No probe and no ramp');
    expect((await record()).state).toBe('closed');
    expect(admin.wrongs).toEqual([]);
    await admin.page.context().close();
  });

  it('retries failed calls in batches: count, rate, progress, pause during a hold, stop', async () => {
    await test.api.faults([{ kind: 'status', status: 500, operation: 'list-planning', times: 4 }]);
    const made: string[] = [];
    for (let day = 1; day <= 4; day += 1) {
      const dates = { startDate: `2027-03-0${day}`, endDate: `2027-03-1${day}` };
      const { body } = await test.api.post('crossmark/list-planning', {
        input: dates,
        options: { maxAttempts: 1 },
      });
      made.push(String(body.id));
    }
    expect(await allEnded(test.api, made)).toEqual({ failed: 4 });
    await test.api.faults([]);
    const retry = card().locator('.retry');
    await see(retry.locator('summary'), /Retry failed calls: 4/);
    await retry.locator('summary').click();
    await see(retry.locator('.counted'), /^4 calls would be retried/);
    await retry.getByLabel('Rate').selectOption({ label: '6 per minute' });
    expect(await axe(page)).toEqual([]);
    await picture('retry');
    await retry.getByRole('button', { name: 'Start…' }).click();
    const dialog = page.getByRole('dialog');
    await see(dialog, /4 failed calls will be retried at 6 per minute/);
    await dialog.getByLabel(/^Reason/).fill('their planning works again');
    await dialog.getByRole('button', { name: 'Start the run' }).click();
    const run = card().locator('.retry-run');
    await see(run, /Retrying failed calls: [1-3] of 4/);
    await act(page, 'hold', 'look first', '15 minutes');
    await see(run, /Retry run paused at [1-3] of 4: a hold is active/);
    const waitedAt = await redis.hget(`${root}:retry-run`, 'done');
    await picture('retry-waits');
    await act(page, 'release', 'looked');
    await until(async () =>
      expect(Number(await redis.hget(`${root}:retry-run`, 'done'))).toBeGreaterThan(Number(waitedAt)),
    );
    await run.getByRole('button', { name: 'Stop…' }).click();
    await page
      .getByRole('dialog')
      .getByLabel(/^Reason/)
      .fill('enough seen');
    await page.getByRole('dialog').getByRole('button', { name: 'Stop the run' }).click();
    await until(async () => expect(await run.getByRole('button').count()).toBe(0));
    await see(run, /Last retry run, stopped by olu: enough seen/);
    const acts = (await audit()).map(({ action }) => action);
    expect(acts).toEqual(expect.arrayContaining(['retry run', 'retry stop']));
    const statuses = (await test.api.calls(made)).map(({ status }) => status);
    expect(statuses).toContain('succeeded');
  });

  it('on the board, pause sets a hold, "resume all" keeps the breaker open, and a retry gets all attempts', async () => {
    await act(page, 'open', 'their maintenance', '1 hour');
    const board = await logIn('operator');
    await board.page.goto('/queues');
    const menus = board.page.locator('#root main button:has(.lucide-ellipsis-vertical)');
    const items = board.page.getByRole('menuitem');
    const press = async (menu: number, item: string | RegExp) => {
      await menus.nth(menu).click();
      await items.filter({ hasText: item }).click();
      await board.page.getByRole('button', { name: 'Confirm' }).click();
    };
    await menus.nth(1).click();
    await items.first().waitFor();
    // The menu offers no action that the server refuses.
    expect((await items.allInnerTexts()).filter((text) => text !== '').join()).toMatch(
      /^(Retry all \d failed jobs,)?(Pause|Resume)$/,
    );
    await board.page.keyboard.press('Escape');
    await items.first().waitFor({ state: 'detached' });
    // The board offers "Resume all" when all queues are paused. The breaker's hold already pauses one.
    await press(0, 'Pause all');
    await see(card('walmart-edr').locator('.chips'), /^held: operator$/);
    await board.page.reload();
    await press(0, 'Resume all');
    await see(card('walmart-edr').locator('.chips'), /^$/);
    await see(card().locator('.chips'), /^$/);
    await until(async () =>
      expect((await audit())[0]).toMatchObject({ action: 'board resume all', user: 'olu' }),
    );
    expect(await record()).toMatchObject({ state: 'open', forced: '1' });
    expect(await isPaused()).toBe(true);
    await act(page, 'close', 'they are back');
    await see(word(), /^closed$/);
    await until(async () => expect(await isPaused()).toBe(false));
    await board.page.reload();
    await press(1, /^Pause$/);
    await until(async () =>
      expect((await audit())[0]).toMatchObject({ action: 'board pause', target: 'crossmark' }),
    );
    await until(async () => expect(await isPaused()).toBe(true));
    const hold = JSON.parse((await redis.hget(`${root}:holds`, 'operator')) ?? '{}');
    expect(hold).toMatchObject({ owner: 'olu', reason: 'paused in Bull Board' });
    await see(card().locator('.chips'), /^held: operator$/);
    await board.page.reload();
    await press(1, /^Resume$/);
    await until(async () => expect(await isPaused()).toBe(false));
    expect((await audit())[0]).toMatchObject({ action: 'board resume', target: 'crossmark' });
    await board.page.goto('/queues/queue/crossmark?status=failed');
    await board.page.getByRole('button', { name: 'Retry', exact: true }).first().click();
    await board.page.getByRole('button', { name: 'Confirm' }).click();
    await until(async () => expect((await audit())[0]).toMatchObject({ action: 'board retry' }));
    const id = (await audit())[0]?.target?.split('/')[1] ?? '';
    await until(async () => expect((await test.api.call(id)).status).toBe('succeeded'));
    expect(board.wrongs).toEqual([]);
    await board.page.context().close();
  });

  it('a call in doubt is shown on the card and settled as done on its page', async () => {
    await test.api.faults([{ kind: 'reset', operation: 'reissue-event', afterApply: true, times: 1 }]);
    const { body } = await test.api.post('crossmark/reissue-event', {
      input: { mPlanId: '30000900', locationId: '150900', repId: '101234', expirationDate: '2027-02-01' },
    });
    const id = String(body.id);
    expect(await allEnded(test.api, [id])).toEqual({ in_doubt: 1 });
    await test.api.faults([]);
    await card()
      .getByRole('link', { name: /In doubt: 1/ })
      .click();
    await page.waitForURL('**/in-doubt');
    expect(await axe(page)).toEqual([]);
    await picture('in-doubt');
    await settle('It was done…', 'is settled as succeeded', 'it is in their list', 'Settle as done');
    await until(async () => expect((await test.api.call(id)).status).toBe('succeeded'));
    expect((await audit())[0]).toMatchObject({ action: 'in doubt: done', target: id });
    await page.goto('/in-doubt');
    await see(page.locator('.empty'), /No calls in doubt/);
    await picture('in-doubt-empty');
  });

  it('a call in doubt that was not done is sent again', async () => {
    await test.api.faults([{ kind: 'reset', operation: 'reissue-event', times: 1 }]);
    const { body } = await test.api.post('crossmark/reissue-event', {
      input: { mPlanId: '30000901', locationId: '150900', repId: '101234', expirationDate: '2027-02-01' },
    });
    const id = String(body.id);
    expect(await allEnded(test.api, [id])).toEqual({ in_doubt: 1 });
    await test.api.faults([]);
    await page.goto('/in-doubt');
    await settle('It was not done', 'it will be done twice', 'not in their list', 'Send it again');
    await until(async () => expect((await test.api.call(id)).status).toBe('succeeded'));
    expect((await audit())[0]).toMatchObject({ action: 'in doubt: resend', target: id });
    await page.goto('/breakers');
  });

  it('settling asks for an id that only the upstream knows, and validates it', async () => {
    await test.api.faults([
      { kind: 'reset', operation: 'schedule-event', afterApply: true, times: 1 },
      // The read-back fails too.
      { kind: 'not-ok', operation: 'list-planning' },
    ]);
    const [id] = (await postVisits(test.api, 1, 950)) as [string];
    expect(await allEnded(test.api, [id])).toEqual({ in_doubt: 1 });
    await test.api.faults([]);
    await page.goto('/in-doubt');
    await page.getByRole('button', { name: 'It was done…' }).click();
    const dialog = page.getByRole('dialog');
    const field = dialog.getByLabel('scheduleEventId, as the upstream shows it');
    await field.fill('not an id');
    await dialog.getByLabel(/^Reason/).fill('seen in their list');
    await dialog.getByRole('button', { name: 'Settle as done' }).click();
    await see(dialog.getByRole('alert'), /Must be an id as the upstream shows it/);
    watched.expected(/422/);
    await field.fill('40000007');
    await dialog.getByRole('button', { name: 'Settle as done' }).click();
    await dialog.waitFor({ state: 'detached' });
    const call = await test.api.call(id);
    expect([call.status, call.result?.scheduleEventId]).toEqual(['succeeded', '40000007']);
    await page.goto('/breakers');
  });

  it('the audit page shows every action and filters them', async () => {
    await page.goto('/audit');
    await see(page.locator('tbody'), /retry stop.*close-full.*probe.*open.*release.*hold/s);
    await picture('audit');
    await page.getByLabel('Action contains').fill('close-full');
    await page.getByRole('button', { name: 'Filter' }).click();
    await see(page.locator('tbody tr').first(), /admin.*close-full.*it is certainly up/s);
    expect(await page.locator('tbody tr').count()).toBe(1);
    await page.goto('/breakers');
  });

  it('a call is reached from its job on the board', async () => {
    const [id] = (await postVisits(test.api, 1, 900)) as [string];
    await allEnded(test.api, [id]);
    const board = await logIn('viewer');
    await board.page.goto(`/queues/queue/crossmark/${id}?status=completed`);
    const link = board.page.locator(`a[href="/calls/${id}"]`).first();
    await link.waitFor();
    await board.page.goto(`/calls/${id}`);
    await see(board.page.locator('h1'), /schedule-event\s*succeeded/);
    expect(await axe(board.page)).toEqual([]);
    await picture('call', board.page);
    // The theme chosen on the board applies to the other pages.
    await board.page.evaluate(
      `localStorage.setItem('board-settings', '{"state":{"theme":"dark"},"version":2}')`,
    );
    await board.page.goto('/breakers');
    expect(await board.page.evaluate<string>('getComputedStyle(document.body).colorScheme')).toBe('dark');
    expect(board.wrongs).toEqual([]);
    await board.page.context().close();
  });
});

describe('a viewer', () => {
  it('gets read-only pages, and the API refuses every action', async () => {
    const viewer = await logIn('viewer');
    await see(word('crossmark', viewer.page), /^closed$/);
    expect(await viewer.page.locator('[data-action], .retry').count()).toBe(0);
    // The limit of the last ramp may still end in the background.
    const acted = async () => ({ ...(await record()), limited: '' });
    const before = await acted();
    const headers = { 'sec-fetch-site': 'same-origin' };
    for (const action of ['hold', 'release', 'open', 'probe', 'close', 'close-full']) {
      const data = {
        action,
        reason: 'x',
        ...(action === 'open' && { until: new Date(Date.now() + 60_000) }),
      };
      const answer = await viewer.page.request.post('/api/upstreams/crossmark/actions', { data, headers });
      expect([action, answer.status()]).toEqual([action, 403]);
    }
    for (const path of ['retries', 'retries/stop', 'retries/count']) {
      const answer = await viewer.page.request.post(`/api/upstreams/crossmark/${path}`, {
        data: {},
        headers,
      });
      expect([path, answer.status()]).toEqual([path, 403]);
    }
    for (const path of [
      'in-doubt/crossmark-x',
      'sign-in/walmart-edr/send-code',
      'sign-in/walmart-edr/verify',
    ]) {
      const data = { action: 'done', reason: 'x', code: '123456' };
      const answer = await viewer.page.request.post(`/api/${path}`, { data, headers });
      expect([path, answer.status()]).toEqual([path, 403]);
    }
    await viewer.page.goto('/sign-in/walmart-edr');
    await see(viewer.page.locator('.notice').first(), /^Read-only: .*requires the operator role/);
    expect(await viewer.page.locator('main :is(button, input):enabled').count()).toBe(0);
    await viewer.page.goto('/queues');
    await viewer.page.getByText('Loading...').waitFor({ state: 'detached' });
    await viewer.page.getByText('Crossmark').first().waitFor();
    const acts = viewer.page.getByRole('menuitem', { name: /pause|resume|retry|promote/i });
    for (const menu of await viewer.page.locator('#root button:has(.lucide-ellipsis-vertical)').all()) {
      await menu.click();
      expect(await acts.count()).toBe(0);
      await viewer.page.keyboard.press('Escape');
    }
    const paused = await viewer.page.request.put('/queues/api/queues/crossmark/pause', { headers });
    expect(paused.status()).toBe(403);
    expect(await acted()).toEqual(before);
    expect(await isPaused()).toBe(false);
    expect(viewer.wrongs).toEqual([]);
    await viewer.page.context().close();
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
    expect(await isPaused()).toBe(false);
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
