/** The sign-in page: sends the code, takes the code and shows the current state. */
import { postJson } from '../api.js';
import { setText } from '../dom.js';
import { openFeed } from '../feed.js';
import { clock, count } from '../format.js';

const { upstream: name } = document.querySelector('[data-upstream]').dataset;
const state = document.getElementById('state');
const answer = document.getElementById('answer');
const code = document.getElementById('code');
const sendButton = document.getElementById('send-code');
const verifyForm = document.getElementById('verify');

openFeed((feed) => {
  const upstream = feed.snapshot?.upstreams.find((one) => one.name === name);
  if (upstream === undefined) return;
  const hold = upstream.holds.find((one) => one.kind === 'sign-in');
  const text = hold
    ? `Signed out since ${clock(hold.since)}: ${hold.reason.replace(/\.$/, '')}. ${count(upstream.held, 'call')} waiting.`
    : 'No sign-in is needed: the session works, or no call has needed it yet.';
  setText(state, feed.isStale() ? `${text} (as of ${clock(feed.snapshot.asOf)}, stale)` : text);
});

sendButton.addEventListener('click', () => {
  void step(sendButton, 'send-code', {}, 'Code sent. Enter it in step 2.').then((ok) => ok && code.focus());
});

verifyForm.addEventListener('submit', (event) => {
  event.preventDefault();
  const button = verifyForm.querySelector('button');
  void step(button, 'verify', { code: code.value }, 'Signed in. Waiting calls are made now.').then((ok) => {
    code.value = '';
    if (!ok) code.focus();
  });
});

async function step(button, path, body, done) {
  button.disabled = true;
  say('Waiting for a worker…', '');
  const result = await postJson(`/api/sign-in/${name}/${path}`, body);
  button.disabled = false;
  say(result.ok ? done : result.detail, result.ok ? 'good' : 'bad');
  return result.ok;
}

function say(text, kind) {
  answer.hidden = false;
  answer.className = `notice ${kind}`;
  setText(answer, text);
}
