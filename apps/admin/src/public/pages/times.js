/** Pages made on the server: exact times become this place's time, "3 min ago" goes on counting. */
import { ago, exact } from '../format.js';

const loadedMs = performance.now();
// The page was made a moment ago by the server's clock; this machine's own may be wrong.
const madeMs = Date.now();

function show() {
  for (const time of document.querySelectorAll('time[data-words]')) {
    const { dateTime } = time;
    time.title = exact(dateTime);
    time.textContent =
      time.dataset.words === 'ago' ? ago(dateTime, madeMs + performance.now() - loadedMs) : exact(dateTime);
  }
}

show();
setInterval(show, 10_000);
