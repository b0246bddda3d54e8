/** The simulated Crossmark over raw HTTP, compared with docs/upstreams/crossmark.md. */
import { expect, test } from 'vitest';
import { crossmarkLogin, crossmarkSession, startSimulator } from '../test-kit/kit.ts';

test('sign-in: JSON redirectUrl as text/html with a PHPSESSID; a bad password is a 200 page', async () => {
  await using simulator = await startSimulator();
  const good = await crossmarkLogin(simulator.url);
  expect(good.headers.get('content-type')).toBe('text/html; charset="utf-8"');
  expect(good.headers.get('expires')).toContain('1981');
  expect(good.headers.getSetCookie()[0]).toMatch(/^PHPSESSID=\w+; path=\/; HttpOnly$/);
  expect(await good.json()).toHaveProperty('redirectUrl');

  const bad = await crossmarkLogin(simulator.url, 'wrong');
  expect(bad.status).toBe(200);
  expect(await bad.text()).not.toContain('Scheduling');
  // PHP sets a session cookie even so. It must not be signed in.
  const cookie = bad.headers.getSetCookie()[0]?.split(';')[0] ?? '';
  const me = await fetch(`${simulator.url}/crossmark/users/getUserInfo`, {
    method: 'POST',
    headers: { Cookie: cookie },
  });
  expect(me.status).toBe(401);

  await simulator.settings('crossmark', { badPasswordStyle: '401' });
  expect((await crossmarkLogin(simulator.url, 'wrong')).status).toBe(401);
});

test('the account locks after consecutive wrong passwords, until its password is changed', async () => {
  await using simulator = await startSimulator();
  await simulator.settings('crossmark', { lockAfter: 2 });
  await crossmarkLogin(simulator.url, 'wrong');
  await crossmarkLogin(simulator.url, 'wrong');
  expect(await (await crossmarkLogin(simulator.url)).text()).toContain('locked');
  await simulator.settings('crossmark', { password: 'changed' });
  expect(await (await crossmarkLogin(simulator.url, 'changed')).text()).toContain('redirectUrl');
  expect(await simulator.ledger('crossmark')).toMatchObject({ logins: 4, loginsRefused: 3 });
});

test('a session expires some time after its last use; user info and logout', async () => {
  await using simulator = await startSimulator();
  await simulator.settings('crossmark', { sessionTtlMs: 60_000 });
  const session = await crossmarkSession(simulator.url);
  simulator.advance(59_000);
  expect(await (await session.post('/users/getUserInfo')).json()).toMatchObject({ username: 'simulator' });
  simulator.advance(59_000);
  expect((await session.post('/users/getUserInfo')).status).toBe(200);
  simulator.advance(61_000);
  expect((await session.post('/users/getUserInfo')).status).toBe(401);
  const next = await crossmarkSession(simulator.url);
  await next.get('/logout');
  expect((await next.post('/users/getUserInfo')).status).toBe(401);
});

test('expire ends sessions in each of the four styles, and a new sign-in works', async () => {
  await using simulator = await startSimulator();
  for (const style of ['401', '403', '302', 'html'] as const) {
    const session = await crossmarkSession(simulator.url);
    await simulator.send('POST', simulator.control('crossmark', '/expire'), { style });
    const res = await session.schedule();
    expect(res.status).toBe(style === 'html' ? 200 : Number(style));
    if (style === '302') expect(res.headers.get('location')).toBe(`${simulator.url}/crossmark/login`);
    if (style === 'html') expect(await res.text()).toContain('<title>Sign in</title>');
  }
  const fresh = await crossmarkSession(simulator.url);
  expect((await fresh.schedule()).status).toBe(200);
  expect((await simulator.ledger('crossmark')).visitsMade).toBe(1);
});

test('schedule answers with the recorded mix of types and shows in both reads', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  const res = await session.schedule();
  expect(res.headers.get('content-type')).toBe('text/html; charset="utf-8"');
  const body = (await res.json()) as { MVScheduledEvent: Record<string, unknown> };
  expect(body).toMatchObject({
    ok: 1,
    repName: 'Cleo Cedar',
    MVScheduledEvent: {
      ID: expect.any(Number),
      MVID: expect.stringMatching(/^[\da-f-]{36}$/),
      Start: '2025-09-30T13:00:00+00:00',
      End: '2025-09-30T19:30:00+00:00',
      RepID: 151203,
      mPlanID: 12345678,
      LocationID: 157384,
      IsDeleted: '0',
      MasterEntityID: '0',
      TimezoneID: expect.any(Number),
    },
  });
  expect((await session.plan('12345678')).mplans).toEqual([
    expect.objectContaining({
      mPlanID: '12345678',
      storeID: '157384',
      condition: 'Scheduled',
      scheduleDate: '09/30/2025 09:00:00 AM',
      scheduleRepID: '151203',
      scheduleEventID: String(body.MVScheduledEvent.ID),
      staffedReps: 'Cleo Cedar',
    }),
  ]);
  const form = new URLSearchParams({ mPlanID: '12345678', storeID: '157384' });
  const condition = await session.post('/planningextcontroller/getmPlanLocationCondition', form);
  expect(await condition.json()).toEqual({
    ok: 1,
    reps: 'Cleo Cedar',
    condition: 'Scheduled',
    key: '12345678_157384',
    workStatus: '',
  });
});

test('a schedule request without a recorded field gets ok:0 and books nothing', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  const bad: Record<string, string>[] = [
    { RepID: '' },
    { LocationID: '8135' },
    { Start: '2025-09-30T09:00:00' },
    { ClassName: 'Other' },
  ];
  for (const changes of bad) {
    expect(await (await session.schedule(changes)).json()).toMatchObject({
      ok: 0,
      message: expect.any(String),
    });
  }
  const withoutHash = new URLSearchParams({ RepID: '151203', mPlanID: '12345678' });
  const res = await session.post('/planningextcontroller/scheduleMplanEvent', withoutHash);
  expect(await res.json()).toMatchObject({ ok: 0, message: 'ClassName is required' });
  const ledger = await simulator.ledger('crossmark');
  expect(ledger.visits).toEqual([]);
  expect(ledger.requests.every((request) => !request.applied || request.operation === 'login')).toBe(true);
});

test('duplicates: inserted by default, updated in place on request', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  await session.schedule();
  await session.schedule();
  expect((await simulator.ledger('crossmark')).visitsByItem).toEqual({ 12345678: 2 });
  await simulator.settings('crossmark', { duplicates: 'update-in-place' });
  await session.schedule({ mPlanID: '87654321' });
  await session.schedule({ mPlanID: '87654321', RepID: '151204' });
  const ledger = await simulator.ledger('crossmark');
  expect(ledger.visitsByItem).toEqual({ 12345678: 2, 87654321: 1 });
  expect(ledger.visits.at(-1)).toMatchObject({ repId: '151204', writes: 2 });
});

test('reads show a write or a delete only after the lag; the ledger shows it at once', async () => {
  await using simulator = await startSimulator();
  await simulator.settings('crossmark', { readBackLagMs: 60_000 });
  const session = await crossmarkSession(simulator.url);
  const { MVScheduledEvent } = (await (await session.schedule()).json()) as {
    MVScheduledEvent: { ID: number };
  };
  expect((await session.plan('12345678')).mplans[0]).toMatchObject({
    storeID: '157384',
    condition: 'Unstaffed',
  });
  expect((await simulator.ledger('crossmark')).visits).toHaveLength(1);
  simulator.advance(60_000);
  expect((await session.plan('12345678')).mplans[0]).toMatchObject({ condition: 'Scheduled' });

  const form = new URLSearchParams({ id: String(MVScheduledEvent.ID) });
  const remove = () => session.post('/planningextcontroller/deleteScheduledMplanEvent', form);
  expect(await (await remove()).json()).toEqual({ ok: 1 });
  expect(await (await remove()).json()).toMatchObject({ ok: 0 });
  await simulator.settings('crossmark', { deleteMissing: 'ok' });
  expect(await (await remove()).json()).toEqual({ ok: 1 });
  expect((await session.plan('12345678')).mplans[0]).toMatchObject({ condition: 'Scheduled' });
  simulator.advance(60_000);
  expect((await session.plan('12345678')).mplans[0]).toMatchObject({
    condition: 'Unstaffed',
    scheduleEventID: '',
  });
  expect((await simulator.ledger('crossmark')).visits).toEqual([]);
});

test('pending work requires all its fields, counts every request and shows as Reissued', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  const form = new URLSearchParams({
    workLogEntryID: '',
    storeID: '157384',
    mPlanID: '12345678',
    reissueBulkJson: '[]',
    action: 'reissue',
    includeResponses: 'false',
    pendingWorkReasonComments: '',
    public: 'true',
    excludeReps: 'false',
    excludedRepIDs: '[]',
    overrideReps: 'true',
    overriddenRepIDs: '[151203]',
    expirationDate: '2025-10-01T00:00:00',
    additionalEmail: '',
  });
  const path = '/pendingworkextcontroller/createPendingWork/';
  expect(await (await session.post(path, form)).json()).toMatchObject({ success: true });
  expect((await session.plan('12345678')).mplans[0]).toMatchObject({ condition: 'Reissued' });
  form.delete('additionalEmail');
  expect(await (await session.post(path, form)).json()).toMatchObject({ ok: 0, success: false });
  expect((await simulator.ledger('crossmark')).pendingWorkByItem).toEqual({ 12345678: 1 });
});

test('the rosters: reps keyed by id with strings, qualified reps by last name, default lengths', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  const form = new FormData();
  form.set('project', '09/29/2025 00:00:00,10/06/2025 23:59:59');
  const res = await session.post('/schedulingcontroller/getAvailableReps', form);
  const { reps } = (await res.json()) as { reps: Record<string, Record<string, unknown>> };
  expect(Object.keys(reps)).toHaveLength(14);
  expect(reps['151202']).toMatchObject({
    repId: '151202',
    employeeId: expect.stringMatching(/^US\d+$/),
    availableHoursPerDay: '8',
    visitCount: expect.stringMatching(/^\d+$/),
  });
  const asForm = new URLSearchParams({ project: '09/29/2025 00:00:00,10/06/2025 23:59:59' });
  expect(await (await session.post('/schedulingcontroller/getAvailableReps', asForm)).json()).toMatchObject({
    ok: 0,
  });

  const query = 'mPlanID=12345678&storeID=157384&page=1&start=0&limit=100';
  const qualified = await session.get(`/planningextcontroller/getQualifiedRepsForScheduling?${query}`);
  const list = ((await qualified.json()) as { reps: { LastName: string; OfflineHash: string }[] }).reps;
  expect(list.length).toBeGreaterThan(3);
  expect(list.map((rep) => rep.LastName)).toEqual(list.map((rep) => rep.LastName).toSorted());
  expect(list[0]?.OfflineHash).toMatch(/^[\da-f]{32}$/);

  const lengths = await session.get('/planningextcontroller/getDefaultScheduleLengthInMinutes');
  expect(await lengths.json()).toEqual({ defaults: [] });
});

test('the planning list: about 20 items a day, filtered, paged and stable; bad queries get an error', async () => {
  await using simulator = await startSimulator();
  const session = await crossmarkSession(simulator.url);
  const list = async (changes: Record<string, string>) => {
    const query = new URLSearchParams({
      intervalStart: '2025-09-01',
      intervalEnd: '2025-09-10',
      searchFields: '{"searchTerms":{}}',
      limit: '5000',
      ...changes,
    });
    const res = await session.get(`/planningextcontroller/getPlanningMplans?${query}`);
    return (await res.json()) as { ok?: number; mplans: Record<string, string>[]; total: number };
  };
  const all = await list({});
  expect(all.total).toBeGreaterThan(190);
  expect(all.mplans).toHaveLength(all.total);
  expect(all.mplans[0]?.mPlanID).toMatch(/^\d{8}$/);
  expect(all.mplans[0]?.name).toMatch(/^\d{6}-/);
  expect(all.mplans[0]?.startDate).toMatch(/^\d{2}\/\d{2}\/2025$/);
  expect(all.mplans.some((row) => row.condition === 'Unstaffed' && row.scheduleDate !== '')).toBe(true);
  expect((await list({ limit: '7', start: '7' })).mplans).toEqual(all.mplans.slice(7, 14));
  expect(await list({ intervalStart: '2025-09-01T00:00:00', intervalEnd: '2025-09-10T00:00:00' })).toEqual(
    all,
  );
  const scheduled = {
    condition: { name: 'condition', title: 'Condition', items: [{ id: 1, value: ['Scheduled'] }] },
  };
  expect((await list({ searchFields: JSON.stringify({ searchTerms: scheduled }) })).total).toBe(0);
  expect(await list({ intervalEnd: '' })).toMatchObject({ ok: 0 });
  expect(await list({ searchFields: 'no json' })).toMatchObject({ ok: 0 });
});
