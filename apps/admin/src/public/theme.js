/* Sets the theme before the first paint. Uses the theme that the person chose on the board. */
(() => {
  try {
    const { theme } = JSON.parse(localStorage.getItem('board-settings') ?? '{}').state ?? {};
    if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is not readable: use the system theme.
  }
})();
