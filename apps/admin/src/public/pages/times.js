/** Times on server-rendered pages: shows exact times in the local time zone and keeps "3 min ago" current. */
import { ago, exact } from '../format.js';

const loadedMs = performance.now();
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
