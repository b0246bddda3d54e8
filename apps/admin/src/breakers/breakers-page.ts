/** The page /breakers. Its element `recloser-breakers` fills itself from the live stream. */

import { type Html, html } from '../page/html.ts';
import { type NavigationLink, page } from '../page/page.ts';
import type { User } from '../user/accounts.ts';

export function breakersPage(user: User, links: readonly NavigationLink[]): Html {
  const body = html`<div class="headline">
<h1>Breakers</h1>
<p id="as-of" class="as-of" role="status">Loading…</p>
</div>
<recloser-breakers id="upstreams" class="cards"><noscript><p class="notice bad">This page requires JavaScript. <a href="/api/upstreams">View the data as JSON.</a></p></noscript></recloser-breakers>`;
  return page({ title: 'Breakers', user, path: '/breakers', body, script: 'breakers/breakers.js' }, links);
}
