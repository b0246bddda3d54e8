/**
 * The sign-in and the sessions of the simulated Crossmark. See docs/upstreams/crossmark.md, "Session". Like PHP, a
 * refused sign-in also sets a PHPSESSID, but without a session.
 */
import { randomBytes } from 'node:crypto';
import type {
  CommonSettings,
  ExpiryStyle,
  SimulatedReply,
  SimulatedRequest,
} from '../../simulation/simulation.ts';
import { jsonReply, loginPage, pageReply, signedOut } from './replies.ts';

/** The only account of the simulation. */
export const simulatedUser = 'simulator';

type SessionSettings = CommonSettings & { badPasswordStyle: 'html' | '401' };

export class CrossmarkSessions {
  logins = 0;
  loginsRefused = 0;
  readonly #settings: SessionSettings;
  readonly #now: () => number;
  readonly #lastUsed = new Map<string, number>();
  #badInARow = 0;
  #endedStyle: ExpiryStyle | null = null;

  constructor(settings: SessionSettings, now: () => number) {
    this.#settings = settings;
    this.#now = now;
  }

  /** `POST /login/authenticate`. A locked account refuses even the right password. */
  login(request: SimulatedRequest): SimulatedReply {
    this.logins += 1;
    const body = (request.json ?? {}) as Record<string, unknown>;
    const complete =
      body.UserType === 'MVEntityUser' && typeof body.Timezone === 'string' && body.Timezone !== '';
    const known = body.UserID === simulatedUser && body.Password === this.#settings.password;
    const locked = this.#badInARow >= this.#settings.lockAfter;
    if (locked || !complete || !known) return this.#refuse(locked);
    this.#badInARow = 0;
    this.#prune();
    const id = newSessionId();
    this.#lastUsed.set(id, this.#now());
    return jsonReply({ redirectUrl: '/planning/' }, { headers: sessionCookie(id), applied: true });
  }

  /** `GET /logout`. */
  logout(request: SimulatedRequest): SimulatedReply {
    const ended = this.#lastUsed.delete(sessionId(request) ?? '');
    return pageReply('', { status: 302, headers: { Location: `${request.loginUrl}/login` }, applied: ended });
  }

  /** Null for a valid session, which it extends; otherwise the signed-out answer. */
  authorise(request: SimulatedRequest): SimulatedReply | null {
    const id = sessionId(request);
    const usedAt = id === null ? undefined : this.#lastUsed.get(id);
    if (id !== null && usedAt !== undefined && this.#now() - usedAt < this.#settings.sessionTtlMs) {
      this.#lastUsed.set(id, this.#now());
      return null;
    }
    return signedOut(this.#endedStyle ?? this.#settings.expiredStyle, request);
  }

  end(request: SimulatedRequest, style: ExpiryStyle): SimulatedReply {
    this.#lastUsed.delete(sessionId(request) ?? '');
    return signedOut(style, request);
  }

  /** Ends every session. Signed-out requests are answered in `style` until the next reset. */
  endAll(style: ExpiryStyle): void {
    this.#lastUsed.clear();
    this.#endedStyle = style;
  }

  unlock(): void {
    this.#badInARow = 0;
  }

  reset(): void {
    this.#lastUsed.clear();
    this.#endedStyle = null;
    this.unlock();
    this.logins = 0;
    this.loginsRefused = 0;
  }

  #refuse(locked: boolean): SimulatedReply {
    this.#badInARow += 1;
    this.loginsRefused += 1;
    const notice = locked ? '<p>This account is locked.</p>' : '<p>Wrong user or password.</p>';
    const headers = sessionCookie(newSessionId());
    if (this.#settings.badPasswordStyle === 'html') return pageReply(loginPage(notice), { headers });
    return jsonReply({ success: false }, { status: 401, headers });
  }

  #prune(): void {
    if (this.#lastUsed.size < 10_000) return;
    const dead = this.#now() - this.#settings.sessionTtlMs;
    for (const [id, usedAt] of this.#lastUsed) if (usedAt <= dead) this.#lastUsed.delete(id);
  }
}

/** The request's PHPSESSID, or null. */
export function sessionId(request: SimulatedRequest): string | null {
  return request.cookies.get('PHPSESSID') ?? null;
}

function newSessionId(): string {
  return randomBytes(16).toString('hex');
}

// Without `Secure`, because the simulator uses plain HTTP on loopback.
function sessionCookie(id: string): Record<string, string> {
  return { 'Set-Cookie': `PHPSESSID=${id}; path=/; HttpOnly` };
}
