/** The page /sign-in/{name}: requests a text-message code and takes it. `sign-in.js` sends the requests. */
import type { Request, Response } from 'express';
import { html } from '../page/html.ts';
import { messagePage, type NavigationLink, page } from '../page/page.ts';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import { mayAct } from '../user/accounts.ts';
import { userOf } from '../user/sessions.ts';

/** `GET /sign-in/{name}`: 404 for an upstream that needs no person to sign in. */
export function signInPage(upstreams: readonly AdminUpstream[], links: readonly NavigationLink[]) {
  return (req: Request, res: Response): void => {
    const user = userOf(res);
    const upstream = upstreams.find(({ definition }) => definition.name === req.params.name);
    if (user === null || !upstream?.signInQueue) {
      res
        .status(404)
        .send(messagePage('Not found', 'No upstream with this name needs a person to sign in.', user).text);
      return;
    }
    const { name, title } = upstream.definition;
    const path = `/sign-in/${name}`;
    const disabled = mayAct(user.role, 'operator') ? null : html` disabled`;
    const body = html`<section class="card sign-in" data-upstream="${name}">
<h1>Sign in to ${title}</h1>
<p id="state" class="as-of" role="status">Loading…</p>
${disabled === null ? null : html`<p class="notice">Read-only: signing in requires the operator role. You are a ${user.role}.</p>`}
<ol class="steps">
<li><h2>Send a code</h2><p>A text message goes to the phone registered with the account.</p>
<button id="send-code"${disabled}>Send the code</button></li>
<li><h2>Enter the code</h2>
<form id="verify"><label>Six-digit code<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" pattern="[0-9]{6}" maxlength="6" required${disabled}></label>
<button${disabled}>Sign in</button></form></li>
</ol>
<p id="answer" class="notice" role="alert" hidden></p>
</section>`;
    res.send(
      page({ title: `Sign in to ${title}`, user, path, body, script: 'pages/sign-in.js' }, links).text,
    );
  };
}
