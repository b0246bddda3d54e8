/**
 * What the board leaves out for people who do not see its icons: names for its icon buttons, by the icon they
 * show. The board draws its page anew all the time, hence the observer. Nothing that has a name is touched.
 */

const names = {
  'lucide-maximize': 'Full screen',
  'lucide-minimize': 'Leave full screen',
  'lucide-settings': 'Settings of the board',
  'lucide-circle-user': 'Other pages',
  'lucide-ellipsis-vertical': 'Actions on queues',
  'lucide-copy': 'Copy',
  'lucide-refresh-cw': 'Retry',
  'lucide-rotate-cw': 'Retry',
  'lucide-circle-arrow-up': 'Promote',
  'lucide-arrow-up': 'Promote',
  'lucide-chevron-up': 'Fold or unfold',
  'lucide-chevron-down': 'Fold or unfold',
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
  return known ?? (icon?.querySelector('.rds-b1') ? 'Redis in numbers' : 'Action');
}

/** Names what has none. */
function mend() {
  for (const element of document.querySelectorAll('button:not([aria-label]), a[href]:not([aria-label])')) {
    if (element.textContent.trim() === '' || element.querySelector('style')) {
      if (element.title === '' && element.querySelector('svg'))
        element.setAttribute('aria-label', nameOf(element));
    }
  }
  for (const drawing of document.querySelectorAll('svg[role="img"]:not([aria-hidden]):not([aria-label])')) {
    if (drawing.querySelector(':scope > title') === null) drawing.setAttribute('aria-hidden', 'true');
  }
  // Jobs are headed by an <h5> right below the page's <h1>.
  for (const heading of document.querySelectorAll('#root :is(h3, h4, h5):not([aria-level])')) {
    heading.setAttribute('aria-level', '2');
  }
  // A list that calls itself a navigation is no list any more, and its entries belong to nothing.
  for (const list of document.querySelectorAll('#root ul[role="navigation"]')) list.removeAttribute('role');
  for (const logo of document.querySelectorAll('img[src="/assets/icon.svg"][alt="Recloser"]')) logo.alt = '';
}

/** Mends now and whenever the board draws something new. */
export function mendBoard() {
  let isDue = false;
  const later = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      mend();
    });
  };
  new MutationObserver(later).observe(document.body, { childList: true, subtree: true });
  later();
}
