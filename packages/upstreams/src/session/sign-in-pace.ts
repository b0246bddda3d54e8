/** Limits on how often sign-ins are made. Too many failed ones lock accounts. */
export type SignInPace = {
  /** The pause after a failed sign-in. It triples with each failure in a row, up to `maxFailureMs`. */
  readonly firstFailureMs: number;
  readonly maxFailureMs: number;
  /** Time until refused credentials are tried again, after the first refusal and after later ones. */
  readonly firstRefusalMs: number;
  readonly laterRefusalsMs: number;
  /** At most `signIns` sign-ins in any `windowMs`, successful or not. */
  readonly signIns: number;
  readonly windowMs: number;
};

export const defaultSignInPace: SignInPace = {
  firstFailureMs: 5_000,
  maxFailureMs: 300_000,
  firstRefusalMs: 900_000,
  laterRefusalsMs: 3_600_000,
  signIns: 5,
  windowMs: 900_000,
};
