/** Every action of an operator with its effect in Redis and in the audit log, and the limits of a viewer. */
import { describe, expect, it } from 'vitest';
import { allEnded, postVisits, until } from '../support/stack.ts';
import {
  act,
  audit,
  axe,
  card,
  isPaused,
  logIn,
  page,
  picture,
  record,
  redis,
  root,
  see,
  settle,
  shown,
  test,
  useDashboard,
  watchCard,
  watched,
  word,
} from './dashboard.ts';

useDashboard();

describe('actions of an operator', () => {
  it('hold pauses the queue, release resumes it', async () => {
    await see(word(), /^closed$/);
    await card().locator('button[data-action="hold"]').click();
    await see(page.getByRole('dialog'), /No call is started/);
    await picture('dialog');
    await page.keyboard.press('Escape');
    await until(async () => expect(await isPaused()).toBe(false));
    const says = await act(page, 'hold', 'the night shift changes tables', '4 hours');
    expect(says).toContain('are accepted and stored');
    await until(async () => expect(await isPaused()).toBe(true));
    const hold = JSON.parse((await redis.hget(`${root}:holds`, 'operator')) ?? '{}');
    expect(hold).toMatchObject({ owner: 'olu', reason: 'the night shift changes tables' });
    expect(hold.until - Date.now()).toBeGreaterThan(3.9 * 3_600_000);
    await see(card().locator('.chips'), /held: operator/);
    await picture('breakers-held');
    expect(await axe(page)).toEqual([]);
    await act(page, 'release', 'tables are there');
    await until(async () => expect(await isPaused()).toBe(false));
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
    await until(async () => expect(await isPaused()).toBe(true));
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
    await until(async () => expect(await isPaused()).toBe(false));
    expect(viewer.wrongs).toEqual([]);
    await viewer.page.context().close();
  });
});
