import { describe, expect, it } from 'vitest';
import { jwt, report } from '../../test-kit/walmart-edr-server.ts';
import { walmartEdr } from './definition.ts';
import { browseData, browseRequest, edrReport, readTokenCookie, readTokenRecord } from './wire.ts';

const { 'get-report': getReport, 'browse-events': browseEvents } = walmartEdr.operations;

describe('edrReport', () => {
  it('keeps only what the app needs, ids as strings, names trimmed', () => {
    const result = edrReport.parse(report(123456));
    expect(result).toEqual({
      demoId: '123456',
      demoName: 'Crackers tasting',
      demoDate: '2026-01-15',
      demoClassCode: 3,
      demoStatusCode: 2,
      demoLockInd: 'N',
      demoInstructions: null,
      items: [
        { itemNbr: '123456789', gtin: '12345678901', itemDesc: 'CRACKERS', vendorNbr: '42', deptNbr: '1' },
      ],
    });
    expect(getReport.result.parse(result)).toEqual(result);
  });

  it.each([null, undefined])('turns items of %s into an empty list', (itemDetails) => {
    expect(edrReport.parse({ ...report(123456), itemDetails }).items).toEqual([]);
  });

  it('keeps the two instruction texts', () => {
    const demoInstructions = { demoPrepnTxt: ' wash ', other: 1 };
    expect(edrReport.parse({ ...report(123456), demoInstructions }).demoInstructions).toEqual({
      demoPrepnTxt: 'wash',
      demoPortnTxt: null,
    });
  });

  it.each([{ demoId: null }, { demoDate: 'soon' }, { itemDetails: 'none' }, { demoStatusCode: 'x' }])(
    'refuses %j',
    (change) => {
      expect(edrReport.safeParse({ ...report(123456), ...change }).success).toBe(false);
    },
  );
});

const row = {
  eventId: 123456,
  eventType: 'Food ',
  eventDate: '2026-01-15',
  billType: 'x',
  eventStatus: 'Approved',
  lockDate: 'true',
  eventFee: 12.5,
  itemNbr: 123456789,
  featuredItemInd: 'Y',
  itemDesc: 'CRACKERS   ',
  upcNbr: 12345678901,
  deptNbr: 1,
  deptDesc: 'SNACKS',
  vendorNbr: 42,
  vendorDesc: 'ACME',
  vendorBilledNbr: 42,
  vendorBilledDesc: 'ACME',
  targetClubCnt: 600,
  subCatNbr: 7,
  subCatDesc: 'DRY',
  eventName: 'Crackers'.padEnd(100),
  country: 'US',
  lastChangeUser: 'someone',
  claimNbr: [1],
};

describe('browseData', () => {
  it('keeps the needed fields and whether the event is locked', () => {
    const result = browseData.parse([row]);
    expect(result.rows).toEqual([
      {
        eventId: '123456',
        eventType: 'Food',
        eventName: 'Crackers',
        eventDate: '2026-01-15',
        eventStatus: 'Approved',
        locked: true,
        itemNbr: '123456789',
        itemDesc: 'CRACKERS',
        featuredItemInd: 'Y',
        upcNbr: '12345678901',
        deptNbr: '1',
        deptDesc: 'SNACKS',
        vendorNbr: '42',
        vendorDesc: 'ACME',
        subCatNbr: '7',
        subCatDesc: 'DRY',
        country: 'US',
      },
    ]);
    expect(browseEvents.result.parse(result)).toEqual(result);
  });

  it.each([
    ['true', true],
    ['TRUE ', true],
    [true, true],
    ['false', false],
    ['', false],
    [null, false],
  ])('reads lockDate %j as %s', (lockDate, locked) => {
    expect(browseData.parse([{ ...row, lockDate }]).rows[0]?.locked).toBe(locked);
  });

  it('refuses an unknown lockDate, and anything but a list', () => {
    expect(browseData.safeParse([{ ...row, lockDate: '2026-01-15' }]).success).toBe(false);
    expect(browseData.safeParse({ rows: [] }).success).toBe(false);
  });
});

describe('browseRequest', () => {
  it('requests all known event types by default', () => {
    const input = { startDate: '2026-01-01', endDate: '2026-01-31', storeNumber: '8135' };
    expect(browseRequest(input)).toEqual({
      startDate: '2026-01-01',
      endDate: '2026-01-31',
      eventType: [1, ...Array.from({ length: 43 }, (_, index) => index + 3)],
      storeNbr: '8135',
      itemNbr: null,
      vendorNbr: null,
      billType: null,
      userId: null,
      primItem: null,
      deptNbr: null,
    });
    expect(browseRequest({ ...input, eventTypes: [45] }).eventType).toEqual([45]);
  });
});

describe('inputs', () => {
  const range = { startDate: '2026-01-01', endDate: '2026-01-31', storeNumber: '8135' };

  it.each(['123456', '000001'])('accepts event %s', (eventId) => {
    expect(getReport.input.safeParse({ eventId }).success).toBe(true);
  });

  it.each([{ eventId: '12345' }, { eventId: 123456 }, { eventId: '123456', more: 1 }, {}])(
    'refuses %j',
    (input) => {
      expect(getReport.input.safeParse(input).success).toBe(false);
    },
  );

  it.each([
    [{ endDate: '2025-12-31' }, ['endDate']],
    [{ endDate: '2027-02-01' }, ['endDate']],
    [{ startDate: '2026-02-30' }, ['startDate']],
    [{ storeNumber: 8135 }, ['storeNumber']],
    [{ eventTypes: [] }, ['eventTypes']],
    [{ eventTypes: [1.5] }, ['eventTypes', 0]],
  ])('refuses a range with %j', (change, path) => {
    const parsed = browseEvents.input.safeParse({ ...range, ...change });
    expect(parsed.error?.issues[0]?.path).toEqual(path);
  });

  it('accepts one day, and event types', () => {
    expect(
      browseEvents.input.safeParse({ ...range, endDate: range.startDate, eventTypes: [1] }).success,
    ).toBe(true);
  });
});

describe('the app token', () => {
  it('is read from the cookie with the expiry of its JWT', () => {
    const token = jwt(2_000_000_000);
    const cookie = encodeURIComponent(
      JSON.stringify({ token, startTime: 'x', endTime: 'y', expiresIn: 480 }),
    );
    expect(readTokenCookie(cookie)).toEqual({ token, expiresAt: 2_000_000_000_000 });
  });

  it('may be a text other than a JWT', () => {
    expect(readTokenRecord({ token: 'opaque' })).toEqual({ token: 'opaque', expiresAt: null });
    expect(readTokenRecord({ token: 'a.b.c' })).toEqual({ token: 'a.b.c', expiresAt: null });
  });

  it.each(['', '%', 'plain', encodeURIComponent('{"token":""}')])('is not found in %j', (cookie) => {
    expect(readTokenCookie(cookie)).toBeNull();
  });
});
