/**
 * The admin app in a real browser against the whole system, during an outage of an upstream. UPDATE_SCREENSHOTS=1 also
 * updates the screenshots in docs/images.
 */
import { mkdir, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DueNow } from '../support/due-now.ts';
import { findChromium, launchChromium, openPage, type WatchedPage } from '../support/programs/chromium.ts';
import { allEnded, postVisits, startTestStack, type TestStack, until } from '../support/stack.ts';

const password = 'correct horse battery';
/** A personal name in a call's input. It must never be visible. */
const note = 'Ask Penelope Featherstone at the desk.';
const images = fileURLToPath(new URL('../../docs/images/', import.meta.url));
const largestImageBytes = 200_000;

let browser: Browser;
let test: TestStack;
let redis: Redis;
let watched: WatchedPage;
let page: Page;

beforeAll(async () => {
  browser = await launchChromium();
  test = await startTestStack({
    // No trial starts before the test asks for one.
    env: { ADMIN_PASSWORD: password, CROSSMARK_BREAKER_RESET_MS: '300000' },
  });
  redis = new Redis(test.stack.redisUrl);
  watched = await openPage(browser, test.stack.urls.admin, { viewport: { width: 1180, height: 720 } });
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

const card = (name: string): Locator => page.locator(`[data-upstream="${name}"]`);
const fact = (name: string, which: string): Locator => card(name).locator(`[data-fact="${which}"]`);
const see = (locator: Locator, text: string | RegExp) =>
  until(async () => expect((await locator.textContent())?.trim()).toMatch(text));

async function picture(name: string): Promise<void> {
  if (process.env.UPDATE_SCREENSHOTS !== '1') return;
  await mkdir(images, { recursive: true });
  const path = `${images}${name}.png`;
  await page.screenshot({ path, animations: 'disabled' });
  expect((await stat(path)).size).toBeLessThan(largestImageBytes);
}

describe('the admin app during an outage', () => {
  it('requires the password', async () => {
    await page.goto('/breakers');
    expect(new URL(page.url()).pathname).toBe('/login');
    await page.getByLabel('User name').fill('admin');
    await page.getByLabel('Password').fill('wrong password');
    const refused = page.waitForResponse((response) => response.request().method() === 'POST');
    await page.getByRole('button', { name: 'Log in' }).click();
    expect((await refused).status()).toBe(401);
    await see(page.getByRole('alert'), /\S/);
    // The browser logs the refused request.
    watched.expected(/console error: .*status of 401/);

    await page.getByLabel('User name').fill('admin');
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.waitForURL('**/breakers');
  });

  it('shows every breaker closed, live', async () => {
    for (const name of ['crossmark', 'walmart-edr']) {
      await see(card(name).locator('.badge .word'), /^closed$/);
      await see(card(name).locator('.effect'), /^Calls are made\.$/);
    }
    await see(page.locator('#as-of'), /live$/);
    await postVisits(test.api, 5, 0).then((ids) => allEnded(test.api, ids));
  });

  it('shows an outage and its end without a reload', async () => {
    // A reload would remove this marker.
    await page.evaluate(() => Object.assign(globalThis, { neverReloaded: true }));
    // All workers have calls in flight before the first fails. A worker that fails alone would be set aside.
    await test.api.faults([
      { kind: 'latency', ms: 500 },
      { kind: 'status', status: 503 },
    ]);
    const ids = await postVisits(test.api, 20, 100);
    const word = card('crossmark').locator('.badge .word');
    await see(word, /^open$/);
    await see(card('crossmark').locator('.effect'), /^Calls are stored and wait\.$/);
    await see(fact('crossmark', 'held'), /^\d+ calls?$/);
    await see(fact('crossmark', 'why'), /^5 failures in a row, the last one: /);
    const next = fact('crossmark', 'next');
    await see(next, /in \d min \d+ s/);
    const first = await next.textContent();
    await until(async () => expect(await next.textContent()).not.toBe(first));
    await see(card('walmart-edr').locator('.badge .word'), /^closed$/);

    await test.api.faults([]);
    await new DueNow(redis).trial();
    await see(word, /^closed$/);
    expect(await allEnded(test.api, ids)).toEqual({ succeeded: ids.length });
    await see(card('crossmark').locator('.effect'), /^Calls are made\.$/);
    await see(fact('crossmark', 'held'), /^none/);
    await card('crossmark').getByText('Last transitions').click();
    await see(card('crossmark').locator('.timeline'), /open → half-open/);
    expect(await page.evaluate(() => 'neverReloaded' in globalThis)).toBe(true);
  });

  it('shows the queues and their jobs without personal data', async () => {
    const place = { mPlanId: '30000900', locationId: '150900' };
    const posts = [
      [
        'crossmark/reissue-event',
        { ...place, repId: '101234', expirationDate: '2027-02-01', comments: note },
      ],
      ['crossmark/list-qualified-reps', place],
    ] as const;
    const ids: string[] = [];
    for (const [path, input] of posts) {
      const { status, body } = await test.api.post(path, { input });
      expect(status, JSON.stringify(body)).toBe(202);
      ids.push(String(body.id));
    }
    await allEnded(test.api, ids);
    const reps = (await test.api.call(ids[1] ?? '')).result?.reps as { lastName: string }[];
    expect(reps.length).toBeGreaterThan(0);

    await page.goto('/queues');
    await page.getByText('crossmark', { exact: true }).first().waitFor();
    await see(page.locator('body'), /\d+ Jobs/);
    await page.goto('/queues/queue/crossmark?status=completed');
    for (const id of ids) await page.getByText(id).first().waitFor();
    for (const id of ids) {
      await page.goto(`/queues/queue/crossmark/${id}`);
      await page.getByText(id).first().waitFor();
    }
    const answers = (await watched.answers('/queues/api')).join('\n');
    expect(answers).toContain(ids[0]);
    const shown = answers + (await page.locator('body').textContent());
    for (const name of ['Penelope', 'Featherstone', ...reps.map((rep) => rep.lastName)]) {
      expect(shown).not.toContain(name);
    }
  });

  it('signs in to Walmart with a code, and the waiting call is made', async () => {
    const { status, body } = await test.api.post('walmart-edr/get-report', { input: { eventId: '204567' } });
    expect(status, JSON.stringify(body)).toBe(202);
    const id = String(body.id);
    await until(async () => {
      const call = await test.api.call(id);
      expect(call.status).toBe('deferred');
      expect(call.holds.map((hold) => hold.kind)).toContain('sign-in');
    });
    await page.goto('/breakers');
    await see(card('walmart-edr').locator('.effect'), /Held by sign-in/);
    await picture('breakers-sign-in');
    await card('walmart-edr')
      .getByRole('link', { name: 'Sign-in needed: a person must enter a code.' })
      .click();
    await page.waitForURL('**/sign-in/walmart-edr');
    await see(page.locator('#state'), /Signed out since .*sign-in\/walmart-edr\. 1 call waiting\.$/s);
    await page.getByRole('button', { name: 'Send the code' }).click();
    await see(page.getByRole('alert'), /^Code sent\./);
    expect((await test.api.ledger('walmart-edr')).smsSent).toBe(1);
    await picture('sign-in');
    await page.getByLabel('Six-digit code').fill('123456');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await see(page.getByRole('alert'), /Signed in/);
    const audit = (await (await page.request.get('/api/audit')).json()) as { entries: { action: string }[] };
    expect(audit.entries.slice(0, 2).map(({ action }) => action)).toEqual([
      'sign-in verify',
      'sign-in send-code',
    ]);
    const call = await until(async () => {
      const seen = await test.api.call(id);
      expect(seen.status).toBe('succeeded');
      return seen;
    });
    expect(call.attempts.made).toBe(1);
    expect(call.result).toMatchObject({ demoId: '204567' });
    await page.goto('/breakers');
    await see(card('walmart-edr').locator('.effect'), /^Calls are made\.$/);
  });

  it('shows nothing after a logout', async () => {
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL('**/login');
    await page.goto('/queues');
    expect(new URL(page.url()).pathname).toBe('/login');
  });

  it('wrote no secret to the output of any process', () => {
    const output = test.stack.output().join('\n');
    for (const secret of [password, 'Featherstone', '123456"', 'PHPSESSID=', 'eyJ']) {
      expect(output).not.toContain(secret);
    }
  });
});

describe('finding Chromium', () => {
  it('names the package to install when it is missing', () => {
    expect(() => findChromium({ CHROMIUM: '/nowhere/chromium' })).toThrow('apt-get install chromium');
  });
});
