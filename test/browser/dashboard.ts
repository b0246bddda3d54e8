/** The dashboard in a real browser against the whole system. UPDATE_SCREENSHOTS=1 updates docs/images. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { hashPassword } from '@recloser/admin/user/password';
import { Redis } from 'ioredis';
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { DueNow } from '../support/due-now.ts';
import { launchChromium, openPage, type WatchedPage } from '../support/programs/chromium.ts';
import { startTestStack, type TestStack, until } from '../support/stack.ts';

export const images = fileURLToPath(new URL('../../docs/images/', import.meta.url));
export const largestImageBytes = 200_000;
export const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** One person for each role. */
export const people = { viewer: 'vera', operator: 'olu', admin: 'ada' } as const;
export const root = 'recloser:{crossmark}';

export let browser: Browser;
export let test: TestStack;
export let redis: Redis;
export let dueNow: DueNow;
export let watched: WatchedPage;
export let page: Page;
export const password = randomBytes(9).toString('base64url');

/** Starts the stack and the browser before the first test of a file, and stops them after the last. */
export function useDashboard(): void {
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
}

export async function logIn(
  role: keyof typeof people,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
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

export const card = (name = 'crossmark', on: Page = page): Locator =>
  on.locator(`section[data-upstream="${name}"]`);
export const word = (name = 'crossmark', on: Page = page): Locator => card(name, on).locator('.badge .word');
export const see = (locator: Locator, text: string | RegExp) =>
  until(async () => expect((await locator.textContent())?.trim()).toMatch(text));

export async function picture(name: string, from: Page = page, fullPage = false): Promise<void> {
  if (process.env.UPDATE_SCREENSHOTS !== '1') return;
  await mkdir(images, { recursive: true });
  const path = `${images}${name}.png`;
  // A retry run is shown at the end of the card.
  if (!name.startsWith('retry')) await from.evaluate('scrollTo(0, 0)');
  await from.screenshot({ path, animations: 'disabled', fullPage });
  expect((await stat(path)).size).toBeLessThan(largestImageBytes);
}

/** The violations that axe finds, one per line. `evaluate` bypasses the page's content security policy. */
export async function axe(on: Page): Promise<string[]> {
  await on.evaluate(axeSource);
  return await on.evaluate<string[]>(
    `axe.run(document).then(({ violations }) => violations.map(({ id, nodes }) =>
      id + ': ' + nodes.map(({ html }) => html.slice(0, 120)).join(' | ')))`,
  );
}

/** Repeats, because the page may still render. One run of axe is slow on a busy machine. */
export const untilAxeFindsNothing = (on: Page, what: string) =>
  until(async () => expect([what, await axe(on)]).toEqual([what, []]), 120_000);

/** Waits for Bull Board's page and the strip. */
export async function boardIsDrawn(on: Page): Promise<void> {
  await see(on.locator('recloser-strip ul'), /Crossmark/);
  await on.getByText('Loading...').waitFor({ state: 'detached' });
}

export type AuditEntry = { user: string; action: string; target?: string; reason?: string; outcome?: string };

export async function audit(on: Page = page): Promise<AuditEntry[]> {
  const answer = await on.request.get('/api/audit');
  return ((await answer.json()) as { entries: AuditEntry[] }).entries;
}

/** Runs an action of the card with a reason. Returns the effect that the dialog describes. */
export async function act(on: Page, action: string, reason: string, length?: string): Promise<string> {
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
export async function settle(button: string, says: string, reason: string, confirm: string): Promise<void> {
  await page.getByRole('button', { name: button }).click();
  const dialog = page.getByRole('dialog');
  await see(dialog.locator('#dialog-says'), new RegExp(says));
  expect(await axe(page)).toEqual([]);
  await dialog.getByLabel(/^Reason/).fill(reason);
  await dialog.getByRole('button', { name: confirm }).click();
  await dialog.waitFor({ state: 'detached' });
  await see(page.locator('.in-doubt [role="status"]'), /Open the call$/);
}

export const focusedAction =
  "[document.activeElement?.closest('section')?.dataset.upstream, document.activeElement?.dataset.action].join(' ')";
export const isFocused = async (action: string) =>
  (await page.evaluate<string>(focusedAction)) === `crossmark ${action}`;
export const isOutsideDialog =
  "document.activeElement !== document.body && document.activeElement.closest('dialog') === null";
export const focusedChip =
  "document.querySelector('recloser-strip').shadowRoot.activeElement?.getAttribute('href')";
/** The focused element with its name, and whether its focus is visible; null at the end of the page. */
export const focusedStop = `{
  const outer = document.activeElement;
  const at = outer.shadowRoot?.activeElement ?? outer;
  const style = getComputedStyle(at);
  const isSeen = (style.outlineStyle !== 'none' && style.outlineWidth !== '0px') || style.boxShadow !== 'none';
  const label = at.labels?.[0]?.textContent ?? '';
  const name = [at.getAttribute('aria-label'), label, at.textContent, at.title, at.placeholder].filter(Boolean).join(' ');
  outer === document.body ? null : { what: at.outerHTML.slice(0, 300), isSeen, name };
}`;

/** Presses Tab until this button of the first card has the focus. */
export async function tabTo(action: string): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    if (await isFocused(action)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not reach ${action}`);
}

export const record = () => redis.hgetall(`${root}:breaker`);
export const isPaused = async () => (await redis.hget(`${root}:crossmark:meta`, 'paused')) !== null;

/** Records what the card shows from now on, so that no short-lived state is missed. */
export async function watchCard(): Promise<void> {
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

export type Place = 'word' | 'next' | 'effect';
export const shown = (place: Place) => page.evaluate<string[]>(`[...globalThis.shown.${place}]`);
