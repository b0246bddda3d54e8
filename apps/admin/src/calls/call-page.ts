/** The page /calls/{id}: one call with its attempts. Input and options are redacted as on the board. */
import { readUpstreamState } from '@recloser/breaker/upstream-state';
import { upstreamOfCallId } from '@recloser/calls/call/id';
import { type CallView, callView, readCall } from '@recloser/calls/read/view';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Request, Response } from 'express';
import { boardPath } from '../board/board.ts';
import { agoInWords, exactTime, lengthInWords } from '../page/format.ts';
import { type Html, html } from '../page/html.ts';
import { messagePage, type NavigationLink, page } from '../page/page.ts';
import { redactData } from '../page/redact.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import { userOf } from '../user/sessions.ts';

type CallPageDeps = {
  readonly redis: Redis;
  readonly upstreams: readonly AdminUpstream[];
  readonly links: readonly NavigationLink[];
};

/** `GET /calls/{id}`. */
export function callPage({ redis, upstreams, links }: CallPageDeps) {
  return async (req: Request, res: Response): Promise<void> => {
    const user = userOf(res);
    const id = String(req.params.id);
    const names = upstreams.map(({ definition }) => definition.name);
    const name = upstreamOfCallId(id, names);
    const upstream = upstreams.find(({ definition }) => definition.name === name);
    const stored = upstream && (await readCall({ redis, queue: upstream.queue, id }));
    if (!upstream || !stored) {
      const text = 'No call has this id, or it is no longer kept.';
      res.status(404).send(messagePage('Not found', text, user).text);
      return;
    }
    const { holds, nowMs } = await readUpstreamState({ redis, root: upstream.root });
    const call = callView({ upstream: upstream.definition.name, call: stored, holds, nowMs });
    const data = redactData(upstream.definition, stored.job.data) as { input?: unknown; options?: unknown };
    const body = bodyOf(call, upstream, data, nowMs);
    res.send(page({ title: `Call ${id}`, user, path: '/calls', body, script: 'pages/times.js' }, links).text);
  };
}

const statusWords: Readonly<Record<CallView['status'], readonly [string, string]>> = {
  scheduled: ['scheduled', 'soft'],
  queued: ['queued', 'soft'],
  deferred: ['held', 'half'],
  running: ['running', 'soft'],
  retrying: ['waiting to retry', 'half'],
  succeeded: ['succeeded', 'closed'],
  failed: ['failed', 'open'],
  expired: ['expired', 'open'],
  cancelled: ['cancelled', 'soft'],
  in_doubt: ['in doubt', 'open'],
};

function bodyOf(
  call: CallView,
  upstream: AdminUpstream,
  data: { input?: unknown; options?: unknown },
  nowMs: number,
): Html {
  const { name, title } = upstream.definition;
  const [word, tone] = statusWords[call.status];
  const jobPath = `${boardPath}/queue/${encodeURIComponent(name)}/${encodeURIComponent(call.id)}`;
  return html`<div class="headline"><h1>${call.operation} <span class="tag ${tone}">${word}</span></h1>
<p class="actions"><a class="button quiet" href="${jobPath}">Job on the board</a></p></div>
<p class="id">${call.id}</p>
<div class="pair"><section class="card" aria-labelledby="facts"><h2 id="facts">The call</h2>${facts(call, title, nowMs)}</section>
<section class="card" aria-labelledby="input"><h2 id="input">Input and options</h2>
<p class="note">Personal data and free text are hidden.</p>
<pre tabindex="0" aria-label="Input">${JSON.stringify(data.input, null, 2)}</pre><pre tabindex="0" aria-label="Options">${JSON.stringify(data.options, null, 2)}</pre></section></div>
<section class="card" aria-labelledby="history"><h2 id="history">Attempts</h2>${history(call)}</section>`;
}

function facts(call: CallView, title: string, nowMs: number): Html {
  const { attempts, estimate, error } = call;
  const finish = estimate?.finishBetween;
  const row = (name: string, value: Html | string | null) =>
    value === null ? null : html`<dt>${name}</dt><dd>${value}</dd>`;
  return html`<dl>
${row('Upstream', title)}
${row('Accepted', agoInWords(Date.parse(call.createdAt), nowMs))}
${row('Ended', call.finishedAt === null ? null : agoInWords(Date.parse(call.finishedAt), nowMs))}
${row('Attempts', `${attempts.made} of ${attempts.max}; deferred ${attempts.deferrals} times; worker lost ${attempts.stalls} times`)}
${row('Waiting because', estimate?.reason ?? null)}
${row('Next attempt', call.nextAttemptAt === null ? null : exactTime(Date.parse(call.nextAttemptAt)))}
${row('Position in queue', call.position === null ? null : String(call.position))}
${row('Expected to finish', finish ? html`${exactTime(Date.parse(finish[0]))} to ${exactTime(Date.parse(finish[1]))}` : null)}
${row('Error', error === null ? null : `${error.code}${error.status === null ? '' : ` (${error.status})`}: ${error.message}`)}
</dl>`;
}

function history({ history: entries }: CallView): Html {
  if (entries.length === 0) return html`<p class="none">No attempts yet.</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table of attempts"><table class="rows"><thead><tr><th scope="col">When</th><th scope="col">Duration</th><th scope="col">Outcome</th><th scope="col">Code</th><th scope="col">HTTP</th><th scope="col">Worker</th></tr></thead>
<tbody>${entries.map(
    (entry) =>
      html`<tr><td>${exactTime(Date.parse(entry.at))}</td><td>${lengthOf(entry.durationMs)}</td><td>${entry.outcome.replace('_', ' ')}</td><td>${entry.code ?? ''}</td><td>${entry.status ?? ''}</td><td class="id">${entry.worker}</td></tr>`,
  )}</tbody></table></div>`;
}

function lengthOf(ms: number): string {
  return ms < 10_000 ? `${Math.round(ms)} ms` : lengthInWords(ms);
}
