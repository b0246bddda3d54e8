/** The frame of every server-rendered page: head and navigation. It has no inline script or style. */
import { mayAct, type User } from '../user/accounts.ts';
import { type Html, html } from './html.ts';

type PageOptions = {
  readonly title: string;
  /** Null on the login page, which has no navigation. */
  readonly user: User | null;
  /** Path of the current page, to mark its link. */
  readonly path: string;
  readonly body: Html;
  /** The page's module under /assets. */
  readonly script?: string;
};

const links = [
  { path: '/breakers', text: 'Breakers' },
  { path: '/incidents', text: 'Incidents' },
  { path: '/in-doubt', text: 'In doubt' },
  { path: '/queues', text: 'Queues' },
  { path: '/audit', text: 'Audit' },
] as const;

/** Link to a page that only some upstreams have, such as a sign-in. */
export type NavigationLink = { readonly path: string; readonly text: string };

/** Renders a whole page. */
export function page(
  { title, user, path, body, script }: PageOptions,
  more: readonly NavigationLink[] = [],
): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${title} · Recloser</title>
<link rel="icon" type="image/svg+xml" href="/assets/icon.svg">
<script src="/assets/theme.js"></script>
<link rel="stylesheet" href="/assets/tokens.css">
<link rel="stylesheet" href="/assets/admin.css">
<link rel="stylesheet" href="/assets/cards.css">
<link rel="stylesheet" href="/assets/pages.css">
${script === undefined ? null : html`<script type="module" src="/assets/${script}"></script>`}
</head>
<body${user === null ? null : html` data-role="${user.role}" data-user="${user.name}" data-may-act="${mayAct(user.role, 'operator') ? 'yes' : 'no'}"`}>
<a class="skip" href="#main">Skip to content</a>
${user === null ? null : header(user, path, [...links, ...more])}
<main id="main" tabindex="-1">
${body}
</main>
</body>
</html>
`;
}

function header(user: User, path: string, all: readonly NavigationLink[]): Html {
  return html`<header class="top">
<a class="brand" href="/breakers"><img src="/assets/icon.svg" alt="" width="22" height="22">Recloser</a>
<nav aria-label="Main">
${all.map((link) => html`<a href="${link.path}"${link.path === path ? html` aria-current="page"` : null}>${link.text}</a>`)}
</nav>
<form class="who" method="post" action="/logout"><span>${user.name} <small>${user.role}</small></span><button class="quiet">Log out</button></form>
</header>`;
}

/** An error page. */
export function messagePage(title: string, text: string, user: User | null): Html {
  const body = html`<h1>${title}</h1><p>${text}</p><p><a href="/breakers">Go to Breakers</a></p>`;
  return page({ title, user, path: '', body });
}
