/**
 * The page /in-doubt: calls that were sent without proof of the result. `in-doubt.js` posts the decision. Input is
 * redacted as on the board.
 */
import type { Request, Response } from 'express';
import { agoInWords, countInWords, exactTime } from '../page/format.ts';
import { type Html, html } from '../page/html.ts';
import { type NavigationLink, page } from '../page/page.ts';
import { mayAct, type User } from '../user/accounts.ts';
import { userOf } from '../user/sessions.ts';
import { type InDoubtDeps, type InDoubtItem, readInDoubt } from './in-doubt.ts';

/** Path of the page. */
export const inDoubtPath = '/in-doubt';

/** `GET /in-doubt`. */
export function inDoubtPage(deps: InDoubtDeps, links: readonly NavigationLink[]) {
  return async (_req: Request, res: Response): Promise<void> => {
    const user = userOf(res);
    if (user === null) return;
    const { total, calls } = await readInDoubt(deps);
    const nowMs = Date.now();
    const more =
      total > calls.length ? html`<p class="note">Only the ${calls.length} oldest are shown.</p>` : null;
    const body = html`<div class="headline"><h1>In doubt: ${countInWords(total, 'call')}</h1></div>
${total === 0 ? null : html`<p class="lead">These calls were sent, and neither an answer nor a read-back proved whether they were done. Check in the upstream, then settle each call. Until then nothing happens to them.</p>`}
${total === 0 ? html`<div class="empty"><p><strong>No calls in doubt.</strong></p><p>A call appears here when it was sent and nothing proves whether it was done.</p></div>` : null}
${more}
${calls.map((item) => card(item, user, nowMs))}`;
    const options = { title: 'In doubt', user, path: inDoubtPath, body, script: 'pages/in-doubt.js' };
    res.send(page(options, links).text);
  };
}

function card(item: InDoubtItem, user: User, nowMs: number): Html {
  const { id, operation, upstream, error, since, attempts } = item;
  const sent = item.history.findLast(({ outcome }) => outcome === 'in_doubt');
  return html`<section class="card in-doubt" data-call="${id}" data-operation="${operation}" data-needed="${item.needed.join(' ')}" aria-labelledby="c-${id}">
<h2 id="c-${id}">${operation} <span class="tag open">in doubt</span></h2>
<p class="id"><a href="/calls/${id}">${id}</a></p>
<dl>
<dt>Upstream</dt><dd>${upstream}</dd>
<dt>In doubt</dt><dd>${agoInWords(Date.parse(since), nowMs)}</dd>
${sent ? html`<dt>Sent</dt><dd>${exactTime(Date.parse(item.history[0]?.at ?? sent.at))}</dd>` : null}
<dt>Why</dt><dd>${error ? `${error.code}: ${error.message}` : 'unknown'}</dd>
<dt>Attempts</dt><dd>${attempts.made} of ${attempts.max}</dd>
${item.lateAnswers.map(
  (late) =>
    html`<dt>Late answer</dt><dd>A worker that had lost this call received this answer at ${exactTime(Date.parse(late.at))}: ${late.outcome}${late.code ? ` (${late.code})` : ''}${late.result === undefined ? '' : ` ${JSON.stringify(late.result)}`}</dd>`,
)}
</dl>
<details><summary>Input</summary><pre tabindex="0" aria-label="Input">${JSON.stringify(item.input, null, 2)}</pre></details>
${mayAct(user.role, 'operator') ? buttons(id) : html`<p class="notice">Read-only: settling requires the operator role. You are a ${user.role}.</p>`}
</section>`;
}

function buttons(id: string): Html {
  const button = (decision: string, text: string, kind: string) =>
    html`<button type="button" data-decision="${decision}" class="${kind}" aria-describedby="c-${id}">${text}</button>`;
  return html`<div class="buttons">${button('done', 'It was done…', '')}${button('resend', 'It was not done: send it again…', 'quiet')}</div>`;
}
