/** Posts to the admin API. */

/** Returns `{ok: true, body}`, or `{ok: false, detail}` with a sentence to show. Redirects to the login on 401. */
export async function postJson(path, body) {
  try {
    const answer = await fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
      body: JSON.stringify(body),
    });
    if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
    const parsed = await answer.json();
    return answer.ok
      ? { ok: true, body: parsed }
      : { ok: false, detail: parsed.detail ?? `The request failed (${answer.status}).` };
  } catch {
    return { ok: false, detail: 'The server cannot be reached. Try again.' };
  }
}
