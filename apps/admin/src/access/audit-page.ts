/** The page /audit and `GET /api/audit`: the audit log, newest first, with filters and pages. */
import type { Request, Response } from 'express';
import { z } from 'zod';
import { invalidBody } from '../page/field-errors.ts';
import { agoInWords, exactTime } from '../page/format.ts';
import { type Html, html } from '../page/html.ts';
import { messagePage, type NavigationLink, page } from '../page/page.ts';
import { sendProblem } from '../page/problem.ts';
import { userOf } from '../user/sessions.ts';
import type { AuditLog, AuditRecord } from './audit.ts';

const perPage = 50;

const text = z
  .string()
  .trim()
  .max(100)
  .optional()
  .transform((value) => (value === '' ? undefined : value));
const query = z.object({
  user: text,
  action: text,
  target: text,
  before: z
    .string()
    .regex(/^\d{1,16}-\d{1,10}$/)
    .optional(),
});

type Query = z.output<typeof query>;

/** `GET /api/audit?user=&action=&target=&before=`. */
export function listAudit(audit: AuditLog) {
  return async (req: Request, res: Response): Promise<void> => {
    const asked = query.safeParse(req.query);
    if (!asked.success) return sendProblem(res, invalidBody(asked.error.issues));
    const { entries, next } = await audit.list(asked.data, perPage);
    res.json({ entries, next: next === null ? null : linkOf('/api/audit', asked.data, next) });
  };
}

/** `GET /audit`. */
export function auditPage(audit: AuditLog, links: readonly NavigationLink[]) {
  return async (req: Request, res: Response): Promise<void> => {
    const user = userOf(res);
    const asked = query.safeParse(req.query);
    if (!asked.success) {
      const wrong = 'A parameter in the address is invalid.';
      res.status(422).send(messagePage('Invalid request', wrong, user).text);
      return;
    }
    const { entries, next } = await audit.list(asked.data, perPage);
    const body = html`<div class="headline"><h1>Audit</h1></div>
<p class="lead">Who did what, when and why. Each action is recorded before it runs.</p>
${form(asked.data)}
${entries.length === 0 ? empty(asked.data) : table(entries, Date.now())}
${next === null ? null : html`<p class="pager"><a class="button quiet" href="${linkOf('/audit', asked.data, next)}">Older entries</a></p>`}`;
    res.send(page({ title: 'Audit', user, path: '/audit', body, script: 'pages/times.js' }, links).text);
  };
}

function form({ user, action, target }: Query): Html {
  const field = (name: string, label: string, value: string | undefined) =>
    html`<label>${label}<input name="${name}" value="${value ?? ''}" autocomplete="off" autocapitalize="none" spellcheck="false"></label>`;
  return html`<form class="filter" method="get" action="/audit" role="search" aria-label="Filter the entries">
${field('user', 'User', user)}${field('action', 'Action contains', action)}${field('target', 'Target contains', target)}
<button class="quiet">Filter</button></form>`;
}

function empty({ user, action, target }: Query): Html {
  const isFiltered = [user, action, target].some((value) => value !== undefined);
  return html`<div class="empty"><p><strong>${isFiltered ? 'No entries match.' : 'No entries yet.'}</strong></p>${isFiltered ? html`<p><a href="/audit">Show all entries</a></p>` : null}</div>`;
}

function table(entries: readonly AuditRecord[], nowMs: number): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Entries"><table class="rows">
<thead><tr><th scope="col">When</th><th scope="col">User</th><th scope="col">Action</th><th scope="col">Target</th><th scope="col">Reason</th></tr></thead>
<tbody>${entries.map((entry) => {
    const ms = Date.parse(entry.at);
    return html`<tr><td>${agoInWords(ms, nowMs)}</td><td>${entry.user} <small>${entry.role}</small></td>
<td>${entry.action}${entry.outcome === undefined ? null : html` <span class="tag open">${entry.outcome}</span>`}</td>
<td class="id">${targetOf(entry.target)}</td>
<td class="wide">${entry.reason ?? ''}${entry.until === undefined ? null : html` <small>until ${exactTime(Date.parse(entry.until))}</small>`}</td></tr>`;
  })}</tbody></table></div>`;
}

/** The board records a call as `<upstream>/<id>`, other pages by its id. Both link to the call. */
function targetOf(target: string | undefined): Html | string {
  const id = target?.split('/').at(-1) ?? '';
  return /-[0-9a-f]{8}-[0-9a-f-]{27}$/.test(id) ? html`<a href="/calls/${id}">${id}</a>` : (target ?? '');
}

function linkOf(path: string, asked: Query, before: string): string {
  const { user, action, target } = asked;
  const given = Object.entries({ user, action, target, before }).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value]],
  );
  return `${path}?${new URLSearchParams(given as [string, string][])}`;
}
