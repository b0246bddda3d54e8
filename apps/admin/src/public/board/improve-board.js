/**
 * Makes the board accessible: names its icon buttons by their icon and corrects roles and headings. The board
 * redraws its page all the time, hence the observer. Elements that have a name stay as they are.
 */

const names = {
  'lucide-maximize': 'Full screen',
  'lucide-minimize': 'Exit full screen',
  'lucide-settings': 'Board settings',
  'lucide-circle-user': 'Other pages',
  'lucide-ellipsis-vertical': 'Queue actions',
  'lucide-copy': 'Copy',
  'lucide-refresh-cw': 'Retry',
  'lucide-rotate-cw': 'Retry',
  'lucide-circle-arrow-up': 'Promote',
  'lucide-arrow-up': 'Promote',
  'lucide-chevron-up': 'Expand or collapse',
  'lucide-chevron-down': 'Expand or collapse',
  'lucide-chevron-right': 'Next',
  'lucide-chevron-left': 'Back',
  'lucide-arrow-left': 'Back',
  'lucide-x': 'Close',
  'lucide-menu': 'Menu',
  'lucide-search': 'Search',
};

function nameOf(element) {
  const icon = element.querySelector('svg');
  const known = [...(icon?.classList ?? [])].map((name) => names[name]).find(Boolean);
  return known ?? (icon?.querySelector('.rds-b1') ? 'Redis statistics' : 'Action');
}

function improve() {
  for (const element of document.querySelectorAll('button:not([aria-label]), a[href]:not([aria-label])')) {
    if (element.textContent.trim() === '' || element.querySelector('style')) {
      if (element.title === '' && element.querySelector('svg'))
        element.setAttribute('aria-label', nameOf(element));
    }
  }
  for (const drawing of document.querySelectorAll('svg[role="img"]:not([aria-hidden]):not([aria-label])')) {
    if (drawing.querySelector(':scope > title') === null) drawing.setAttribute('aria-hidden', 'true');
  }
  // Job headings are <h5> directly below the page's <h1>.
  for (const heading of document.querySelectorAll('#root :is(h3, h4, h5):not([aria-level])')) {
    heading.setAttribute('aria-level', '2');
  }
  // With the role `navigation` a <ul> is no longer a list, so its <li> elements have no parent list.
  for (const list of document.querySelectorAll('#root ul[role="navigation"]')) list.removeAttribute('role');
  for (const logo of document.querySelectorAll('img[src="/assets/icon.svg"][alt="Recloser"]')) logo.alt = '';
}

/** Improves the page now and after each change of it. */
export function improveBoard() {
  let isDue = false;
  const later = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      improve();
    });
  };
  new MutationObserver(later).observe(document.body, { childList: true, subtree: true });
  later();
}
