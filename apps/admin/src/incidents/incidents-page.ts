/** The pages /incidents (the outage ledger) and /incidents/{name}/{id} (one outage). */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Request, Response } from 'express';
import { agoInWords, countInWords, exactTime, lengthInWords } from '../page/format.ts';
import { type Html, html } from '../page/html.ts';
import { messagePage, type NavigationLink, page } from '../page/page.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import { userOf } from '../user/sessions.ts';
import { type LedgerEntry, readLedger, readLedgerEntry } from './incidents-api.ts';

type PageDeps = {
  readonly redis: Redis;
  readonly upstreams: readonly AdminUpstream[];
  readonly links: readonly NavigationLink[];
};

/** `GET /incidents`. */
export function incidentsPage({ redis, upstreams, links }: PageDeps) {
  return async (_req: Request, res: Response): Promise<void> => {
    const user = userOf(res);
    const entries = await readLedger(redis, upstreams);
    const rows = entries.map((entry) => rowOf(entry, Date.now()));
    const body = html`<div class="headline"><h1>Incidents</h1>
<p class="actions"><a class="button quiet" href="/api/incidents?download" download>Export as JSON</a></p></div>
<p class="lead">Each outage: when and why the breaker opened, how long it lasted, and what happened to the calls.</p>
${
  rows.length === 0
    ? html`<div class="empty"><p><strong>No incidents recorded.</strong></p><p>When a breaker opens, the outage appears here with its cause, trials and calls.</p></div>`
    : html`<div class="scroll" tabindex="0" role="region" aria-label="Incidents"><table class="rows">
<thead><tr><th scope="col">Upstream</th><th scope="col">Opened</th><th scope="col">Lasted</th><th scope="col">Cause</th><th scope="col" class="number">Trials</th><th scope="col" class="number">Calls touched</th><th scope="col" class="number">Lost</th><th scope="col" class="number">In doubt</th></tr></thead>
<tbody>${rows}</tbody></table></div>`
}`;
    res.send(
      page({ title: 'Incidents', user, path: '/incidents', body, script: 'pages/times.js' }, links).text,
    );
  };
}

function rowOf({ upstream, title, incident, calls }: LedgerEntry, nowMs: number): Html {
  const { id, openedAt, closedAt, cause, trials } = incident;
  return html`<tr>
<th scope="row"><a href="/incidents/${upstream}/${id}">${title}</a></th>
<td>${agoInWords(openedAt, nowMs)}</td>
<td>${closedAt === null ? html`<span class="tag open">still open</span>` : lengthInWords(closedAt - openedAt)}</td>
<td class="wide">${cause}</td>
<td class="number">${trials}</td>
<td class="number">${calls.touched.toLocaleString('en')}${calls.isComplete ? null : html`<abbr title="Incomplete: some calls may have been removed, or too many wait to count all.">+</abbr>`}</td>
<td class="number">${calls.lost}</td>
<td class="number">${calls.inDoubt}</td>
</tr>`;
}

/** `GET /incidents/{name}/{id}`. */
export function incidentPage({ redis, upstreams, links }: PageDeps) {
  return async (req: Request, res: Response): Promise<void> => {
    const user = userOf(res);
    const entry = await readLedgerEntry(redis, upstreams, req.params.name, req.params.id);
    if (entry === undefined) {
      const text = 'Unknown incident. Only the newest entries are kept.';
      res.status(404).send(messagePage('Not found', text, user).text);
      return;
    }
    const { title, incident } = entry;
    const body = html`<p class="crumbs"><a href="/incidents">Incidents</a></p>
<div class="headline"><h1>${title}: outage of ${exactTime(incident.openedAt)}</h1>
<p class="actions"><a class="button quiet" href="/api/incidents/${entry.upstream}/${incident.id}?download" download>Export as JSON</a></p></div>
<div class="pair">
<section class="card" aria-labelledby="what"><h2 id="what">What happened</h2>${facts(entry)}</section>
<section class="card" aria-labelledby="calls"><h2 id="calls">The calls</h2>${account(entry)}</section>
</div>
<section class="card" aria-labelledby="story"><h2 id="story">Timeline</h2>${story(entry)}</section>`;
    res.send(
      page({ title: `Outage of ${title}`, user, path: '/incidents', body, script: 'pages/times.js' }, links)
        .text,
    );
  };
}

function facts({ incident }: LedgerEntry): Html {
  const { openedAt, closedAt, cause, trials, failedTrials, rampFrom, evidence, openedBy } = incident;
  const ramp = closedAt !== null && rampFrom !== null ? lengthInWords(closedAt - rampFrom) : 'none yet';
  return html`<dl>
<dt>Opened</dt><dd>${exactTime(openedAt)}${openedBy === null ? null : html` by ${openedBy}`}</dd>
<dt>Closed</dt><dd>${closedAt === null ? html`<span class="tag open">still open</span>` : html`${exactTime(closedAt)}, after ${lengthInWords(closedAt - openedAt)}`}</dd>
<dt>Cause</dt><dd>${cause}</dd>
<dt>Seen by</dt><dd>${
    evidence.length === 0
      ? 'no failing worker: opened manually'
      : html`<ul class="plain">${evidence.map((seen) => html`<li>${seen.worker}: ${countInWords(seen.failures, 'failure')}${seen.lastError === null ? null : html`, last ${seen.lastError}`}</li>`)}</ul>`
  }</dd>
<dt>Trials</dt><dd>${trials}${failedTrials > 0 ? `, ${failedTrials} of them failed` : ''}</dd>
<dt>Ramp</dt><dd>${ramp}</dd>
</dl>`;
}

function account({ calls, incident }: LedgerEntry): Html {
  const rows: readonly (readonly [string, number])[] = [
    ['Succeeded', calls.succeeded],
    ['Failed, expired or cancelled', calls.failed],
    ['In doubt', calls.inDoubt],
    ['Still waiting', calls.waiting],
    ['Running', calls.running],
  ];
  const drained =
    calls.drainedAt === null
      ? 'not yet'
      : html`${exactTime(calls.drainedAt)}${
          incident.closedAt === null
            ? null
            : `, ${lengthInWords(calls.drainedAt - incident.closedAt)} after it closed`
        }`;
  return html`<dl class="sums">
<dt>Touched</dt><dd>${calls.touched.toLocaleString('en')}</dd>
${rows.map(([name, n]) => html`<dt class="part">${name}</dt><dd>${n.toLocaleString('en')}</dd>`)}
<dt>Lost</dt><dd><span class="tag ${calls.lost === 0 ? 'closed' : 'open'}">${calls.lost}</span></dd>
</dl>
<p class="note">Drained: ${drained}. ${calls.isComplete ? null : 'Some counts are too low: calls are kept for a limited time, and only the newest 50,000 waiting calls are counted.'}</p>`;
}

function story({ incident }: LedgerEntry): Html {
  return html`<ol class="story">${incident.steps.map(
    (step) =>
      html`<li class="step ${step.kind}"><span class="when">${exactTime(step.at)} <small>+${lengthInWords(step.at - incident.openedAt)}</small></span><span>${step.text}${step.by === null || step.by === '' ? null : html` <small>${step.by}</small>`}</span></li>`,
  )}</ol>`;
}
