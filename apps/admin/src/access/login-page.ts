/** The login page: a form that works without scripts. */
import { type Html, html } from '../page/html.ts';
import { page } from '../page/page.ts';

/** `error`: why the last attempt failed. `next`: the path to open after the login. */
export function loginPage({ error, next }: { error: string | null; next: string | null }): Html {
  const body = html`<section class="login card">
<h1><img src="/assets/icon.svg" alt="" width="32" height="32">Recloser</h1>
${error === null ? null : html`<p class="notice bad" role="alert">${error}</p>`}
<form method="post" action="/login">
<label>User name<input name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
${next === null ? null : html`<input type="hidden" name="next" value="${next}">`}
<button>Log in</button>
</form>
</section>`;
  return page({ title: 'Log in', user: null, path: '/login', body });
}
