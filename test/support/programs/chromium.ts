/**
 * A real browser, with a record of what must not happen in it: console errors, failing scripts, requests to another
 * host. Without a browser a test fails with an instruction and is never skipped.
 */
import type { Env } from '@recloser/runtime/env/env';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { isExecutable, programsOnPath } from './programs.ts';

/** Disables the browser's own traffic, so that every request is the page's. */
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

/** Returns `CHROMIUM`, or the first known browser on the PATH. Throws with an instruction. */
export function findChromium(env: Env = process.env): string {
  const [found] = env.CHROMIUM ? [env.CHROMIUM].filter(isExecutable) : programsOnPath(names, env);
  if (found) return found;
  throw new Error(
    'The browser tests need Chromium and there is none. Install it (Debian, Ubuntu: apt-get install chromium), or set CHROMIUM to the path of one.',
  );
}

/** Starts a browser. The caller closes it. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), args });
}

/** The timeout for an element or a page. Long, because it only ends a test that hangs. */
const waitMs = 60_000;

export type WatchedPage = {
  readonly page: Page;
  /** What has gone wrong on the page so far. */
  readonly wrongs: readonly string[];
  /** Removes an expected entry. Throws if there is none. */
  expected(pattern: RegExp): void;
  /** The bodies of all answers from paths with this prefix. */
  answers(pathPrefix: string): Promise<string[]>;
};

/** Opens a page that may only send requests to `origin`. */
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
    // On a slow machine, the board uses preloaded files later than the browser expects.
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
    // A stream never ends, and a body is gone after a navigation.
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
