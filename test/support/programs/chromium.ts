/**
 * A real browser for the tests, and everything that must not happen in it: console errors, failing scripts,
 * requests to another host.
 *
 * Always true: no browser is an error that says how to get one, never a skipped test.
 */
import type { Env } from '@recloser/runtime/env/env';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { isExecutable, programsOnPath } from './programs.ts';

/** No background traffic of its own, so that every request is the page's. */
const args = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];

/** The browser to use: `CHROMIUM`, or the first known name on the PATH. Throws with advice. */
export function findChromium(env: Env = process.env): string {
  const [found] = env.CHROMIUM ? [env.CHROMIUM].filter(isExecutable) : programsOnPath(names, env);
  if (found) return found;
  throw new Error(
    'The browser tests need Chromium and there is none. Install it (Debian, Ubuntu: apt-get install chromium), or set CHROMIUM to the path of one.',
  );
}

/** Starts one; the caller closes it. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), args });
}

/** For an element or a page to be there; long, as it only ends what hangs. */
const waitMs = 60_000;

/** A page that is watched. */
export type WatchedPage = {
  readonly page: Page;
  /** What went wrong in it so far; empty is good. */
  readonly wrongs: readonly string[];
  /** Takes one out that belongs to the test; throws if it is not there. */
  expected(pattern: RegExp): void;
  /** Bodies of all answers it got from paths that begin so, for a look at what reached the browser. */
  answers(pathPrefix: string): Promise<string[]>;
};

/** Opens a page that may only talk to `origin`. */
export async function openPage(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({ baseURL: origin, ...options });
  context.setDefaultTimeout(waitMs);
  const page = await context.newPage();
  const wrongs: string[] = [];
  const bodies: { path: string; body: Promise<string> }[] = [];
  page.on('console', (message) => {
    // A slow machine uses what the board loads ahead later than the browser likes.
    if (/was preloaded using link preload but not used/.test(message.text())) return;
    if (message.type() === 'error' || message.type() === 'warning') {
      wrongs.push(`console ${message.type()}: ${message.text()} (${message.location().url})`);
    }
  });
  page.on('pageerror', (error) => wrongs.push(`script error: ${error.message}`));
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith('http') && url.origin !== origin) wrongs.push(`request to ${url.origin}`);
  });
  page.on('response', (response) => {
    const { pathname } = new URL(response.url());
    // A stream never ends, and a body is gone once the page has moved on.
    if (pathname.endsWith('/stream') || response.request().isNavigationRequest()) return;
    bodies.push({ path: pathname, body: response.text().catch(() => '') });
  });
  return {
    page,
    wrongs,
    expected(pattern) {
      const index = wrongs.findIndex((wrong) => pattern.test(wrong));
      if (index < 0) throw new Error(`nothing like ${pattern} in ${JSON.stringify(wrongs)}`);
      wrongs.splice(index, 1);
    },
    answers: (pathPrefix) =>
      Promise.all(bodies.filter(({ path }) => path.startsWith(pathPrefix)).map(({ body }) => body)),
  };
}
