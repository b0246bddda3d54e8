/** How soon sign-ins may follow each other. Too many wrong ones lock accounts. */
export type SignInPace = {
  /** The pause after a sign-in that did not work; three times longer with each one in a row, up to the longest. */
  readonly firstFailureMs: number;
  readonly maxFailureMs: number;
  /** When refused credentials are tried again: after the first refusal, and after each later one. */
  readonly firstRefusalMs: number;
  readonly laterRefusalsMs: number;
  /** No more sign-ins than this in any such time, whatever they came to. */
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
