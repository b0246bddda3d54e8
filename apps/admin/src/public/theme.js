/* Sets the theme before the first paint: what a person chose on the board counts on our pages too. */
(() => {
  try {
    const { theme } = JSON.parse(localStorage.getItem('board-settings') ?? '{}').state ?? {};
    if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
  } catch {
    // No storage or not readable: the system's theme stands.
  }
})();
