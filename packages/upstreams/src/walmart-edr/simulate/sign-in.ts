/**
 * The sign-in of the simulated Retail Link: password, text-message code, portal, app token. See
 * docs/upstreams/walmart-edr.md, "Sign-in" and "Session". Each step works only with the cookies of the previous one. A
 * code works once. Every answer to a signed-in request sets a new PingAccess cookie.
 */
import { randomBytes } from 'node:crypto';
import type {
  CommonSettings,
  ExpiryStyle,
  SimulatedReply,
  SimulatedRequest,
} from '../../simulation/simulation.ts';
import { jsonReply, loginPage, pageReply, signedOut } from './replies.ts';
import { Tokens } from './tokens.ts';

/** The code in every simulated text message. */
export const testCode = '123456';

/** Number of wrong codes after which a code becomes invalid. */
const codeTries = 5;

/** `sessionTtlMs` is the hard limit of a session (8 h), `idleTtlMs` the lifetime of its cookie. */
export type WalmartSettings = CommonSettings & { idleTtlMs: number; codeTtlMs: number };

type Jar = { password: boolean; code: { untilMs: number; wrong: number } | null };

export class WalmartSignIn {
  logins = 0;
  loginsRefused = 0;
  smsSent = 0;
  readonly #settings: WalmartSettings;
  readonly #now: () => number;
  readonly #tokens: Tokens;
  readonly #jars = new Map<string, Jar>();
  /** The hard end of each session; null until its first app token. */
  readonly #sessions = new Map<string, number | null>();
  #badInARow = 0;
  #endedStyle: ExpiryStyle | null = null;

  constructor(settings: WalmartSettings, now: () => number) {
    this.#settings = settings;
    this.#now = now;
    this.#tokens = new Tokens(now);
  }

  /** `GET {login}/login`: fresh cookies. */
  page(): SimulatedReply {
    return pageReply(loginPage(), { headers: { 'Set-Cookie': [jarCookie(this.#openJar())] } });
  }

  /** `POST {login}/api/login`. */
  login(request: SimulatedRequest): SimulatedReply {
    this.logins += 1;
    const body = bodyOf(request);
    const locked = this.#badInARow >= this.#settings.lockAfter;
    const known = body.username === 'simulator' && body.password === this.#settings.password;
    if (locked || !known || typeof body.language !== 'string') {
      this.#badInARow += 1;
      this.loginsRefused += 1;
      const message = locked ? 'Account locked' : 'Invalid credentials';
      return jsonReply({ status: 401, message }, { status: 401 });
    }
    this.#badInARow = 0;
    const id = this.#jarOf(request) ? (request.cookies.get('RLSESSION') ?? '') : this.#openJar();
    this.#jars.set(id, { password: true, code: null });
    return jsonReply(
      { status: 'MFA_REQUIRED' },
      { headers: { 'Set-Cookie': [jarCookie(id)] }, applied: true },
    );
  }

  /** `POST {login}/api/mfa/sendCode`: counts one text message. */
  sendCode(request: SimulatedRequest): SimulatedReply {
    const jar = this.#jarOf(request);
    const body = bodyOf(request);
    if (!jar?.password) return jsonReply({ status: 401, message: 'Sign in first' }, { status: 401 });
    if (body.type !== 'SMS_OTP' || typeof body.credid !== 'string' || body.credid === '') {
      return jsonReply({ status: 400, message: 'type and credid are required' }, { status: 400 });
    }
    this.smsSent += 1;
    jar.code = { untilMs: this.#now() + this.#settings.codeTtlMs, wrong: 0 };
    return jsonReply({ status: 'SENT' }, { applied: true });
  }

  /** `POST {login}/api/mfa/validateCode`: opens a session for a correct, unused code with the same cookies. */
  verifyCode(request: SimulatedRequest): SimulatedReply {
    const jar = this.#jarOf(request);
    const body = bodyOf(request);
    if (!jar?.password || !jar.code)
      return jsonReply({ status: 401, message: 'No code was sent' }, { status: 401 });
    if (body.type !== 'SMS_OTP' || typeof body.credid !== 'string' || typeof body.failureCount !== 'number') {
      return jsonReply(
        { status: 400, message: 'type, credid and failureCount are required' },
        { status: 400 },
      );
    }
    if (this.#now() >= jar.code.untilMs)
      return jsonReply({ status: 401, message: 'Code expired' }, { status: 401 });
    if (body.code !== testCode) {
      jar.code.wrong += 1;
      if (jar.code.wrong >= codeTries) jar.code = null;
      return jsonReply({ status: 401, message: 'Code invalid' }, { status: 401 });
    }
    jar.code = null;
    this.#pruneSessions();
    const sid = randomBytes(12).toString('hex');
    this.#sessions.set(sid, null);
    // Opens the portal, but expires after an idle hour like the session cookie.
    const { token } = this.#tokens.issue(sid, this.#settings.idleTtlMs);
    return jsonReply(
      { status: 'VALID' },
      { headers: { 'Set-Cookie': [cookie('_auth', token)] }, applied: true },
    );
  }

  /** The portal pages. They only rotate the cookies. */
  portal(request: SimulatedRequest): SimulatedReply {
    const sid = this.#portalSession(request);
    if (!sid) return signedOut(this.#style(), request);
    return pageReply('<html><head><title>Portal</title></head><body></body></html>', {
      headers: { 'Set-Cookie': this.#rotated(sid) },
    });
  }

  /** `GET /EventManagement/api/authenticate`: the app token, in a cookie. */
  authenticate(request: SimulatedRequest): SimulatedReply {
    const sid = this.#portalSession(request);
    if (!sid) return signedOut(this.#style(), request);
    const endMs = this.#sessions.get(sid) ?? this.#now() + this.#settings.sessionTtlMs;
    this.#sessions.set(sid, endMs);
    const { token, claims } = this.#tokens.issue(sid, endMs - this.#now());
    const value = encodeURIComponent(
      JSON.stringify({
        token,
        startTime: claims.iat * 1000,
        endTime: claims.exp * 1000,
        expiresIn: Math.round((claims.exp - claims.iat) / 60),
      }),
    );
    const cookies = [cookie('auth-token', value), ...this.#rotated(sid)];
    return jsonReply({ authenticated: true }, { headers: { 'Set-Cookie': cookies }, applied: true });
  }

  /** Null if the token and the cookie belong to the same valid session. */
  authorise(request: SimulatedRequest): SimulatedReply | null {
    return this.sessionOf(request) ? null : signedOut(this.#style(), request);
  }

  /** The session that the bearer token and the PingAccess cookie both belong to. */
  sessionOf(request: SimulatedRequest): string | null {
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const sid = this.#tokens.check(bearer);
    const idle = this.#tokens.check(request.cookies.get('PA.PA_Retaillink'));
    return sid !== null && sid === idle && this.#lives(sid) ? sid : null;
  }

  /** Adds the rotated cookies to an answer for a signed-in request. */
  rotate(request: SimulatedRequest, reply: SimulatedReply): SimulatedReply {
    const sid = this.sessionOf(request);
    return sid ? { ...reply, headers: { ...reply.headers, 'Set-Cookie': this.#rotated(sid) } } : reply;
  }

  end(request: SimulatedRequest, style: ExpiryStyle): SimulatedReply {
    this.#sessions.delete(this.sessionOf(request) ?? '');
    return signedOut(style, request);
  }

  /** Ends every session. Signed-out requests are answered in `style` until the next reset. */
  endAll(style: ExpiryStyle): void {
    this.#sessions.clear();
    this.#endedStyle = style;
  }

  unlock(): void {
    this.#badInARow = 0;
  }

  reset(): void {
    this.#sessions.clear();
    this.#jars.clear();
    this.#endedStyle = null;
    this.unlock();
    this.logins = 0;
    this.loginsRefused = 0;
    this.smsSent = 0;
  }

  #style(): ExpiryStyle {
    return this.#endedStyle ?? this.#settings.expiredStyle;
  }

  #jarOf(request: SimulatedRequest): Jar | undefined {
    return this.#jars.get(request.cookies.get('RLSESSION') ?? '');
  }

  #pruneSessions(): void {
    if (this.#sessions.size < 10_000) return;
    for (const sid of this.#sessions.keys()) if (!this.#lives(sid)) this.#sessions.delete(sid);
  }

  #openJar(): string {
    // Limits the memory of a long-running simulator.
    if (this.#jars.size >= 10_000) this.#jars.clear();
    const id = randomBytes(12).toString('hex');
    this.#jars.set(id, { password: false, code: null });
    return id;
  }

  /** The newest sign-in takes precedence over a cookie of an older one. */
  #portalSession(request: SimulatedRequest): string | null {
    const candidates = [request.cookies.get('_auth'), request.cookies.get('PA.PA_Retaillink')];
    const sids = candidates.map((value) => this.#tokens.check(value));
    return sids.find((sid) => sid !== null && this.#lives(sid)) ?? null;
  }

  #lives(sid: string): boolean {
    const endMs = this.#sessions.get(sid);
    return endMs === null || (endMs !== undefined && this.#now() < endMs);
  }

  #rotated(sid: string): string[] {
    const { token } = this.#tokens.issue(sid, this.#settings.idleTtlMs);
    return [cookie('PA.PA_Retaillink', token), cookie('TS01simulated', randomBytes(16).toString('hex'))];
  }
}

function bodyOf(request: SimulatedRequest): Record<string, unknown> {
  const { json } = request;
  return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
}

function jarCookie(id: string): string {
  return cookie('RLSESSION', id);
}

// Without `Secure`, because the simulator uses plain HTTP on loopback.
function cookie(name: string, value: string): string {
  return `${name}=${value}; Path=/; HttpOnly`;
}
