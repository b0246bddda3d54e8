/**
 * What a client let out: its log, and the outcomes it gave. Searched for secrets, together with what Redis holds.
 *
 * Always true: a search covers everything since the one before.
 */
import type { Log } from '@recloser/runtime/observe/log';
import { createLogger } from '@recloser/runtime/observe/logger';
import type { Outcome, Verification } from '@recloser/upstreams/contract/upstream';
import { allStrings } from './redis-contents.ts';

/** What must not be found. */
export type Sought = {
  readonly secrets: Iterable<string>;
  readonly signInCode?: string;
  readonly redis: readonly string[];
};

/** One per rig. */
export class Evidence {
  /** What clients handed to the log, and what pino made of it. */
  readonly #raw: string[] = [];
  readonly #lines: string[] = [];
  readonly #outcomes: string[] = [];
  readonly #personal = new Set<string>();
  readonly #forms = new Map<string, readonly string[]>();

  /** A log for a client. */
  log(): Log {
    const destination = { write: (line: string) => void this.#lines.push(line) };
    const pino = createLogger({ name: 'worker', level: 'trace', pretty: false, destination });
    const kept = (level: 'info' | 'warn') => (fields: object, message: string) => {
      this.#raw.push(JSON.stringify([fields, message]));
      pino[level](fields, message);
    };
    return { info: kept('info'), warn: kept('warn') };
  }

  /** Results are for the caller and may hold anything. */
  keep(outcome: Outcome | Verification): void {
    if (outcome.kind !== 'done' && outcome.kind !== 'applied') this.#outcomes.push(JSON.stringify(outcome));
  }

  /** The names in a sealed result: they must not be seen in logs and outcomes. */
  keepPersonal(result: unknown): void {
    for (const text of allStrings(result)) if (/[A-Za-z]{3}/.test(text)) this.#personal.add(text);
  }

  /** Every secret that is where it must not be, with the place. Empty is good. */
  search({ secrets, signInCode, redis }: Sought): string[] {
    const forms = [...secrets].flatMap((secret) => this.#formsOf(secret));
    const code = signInCode ? new RegExp(`\\b${signInCode}\\b`) : undefined;
    const places = {
      outcome: this.#outcomes.splice(0),
      'raw log': this.#raw.splice(0),
      'log line': this.#lines.splice(0),
      redis,
    };
    return Object.entries(places).flatMap(([place, texts]) =>
      texts.flatMap((text) => {
        const names = place === 'redis' ? [] : [...this.#personal];
        const found = {
          secret: forms.some((form) => text.includes(form)),
          person: names.some((name) => text.includes(name)),
          code: code?.test(text) ?? false,
        };
        const kinds = Object.entries(found).filter(([, is]) => is);
        return kinds.map(([kind]) => `${kind} in ${place}: ${text.slice(0, 300)}`);
      }),
    );
  }

  /** In the clear, and in the encodings that a careless hand might think of. */
  #formsOf(secret: string): readonly string[] {
    const known = this.#forms.get(secret);
    if (known) return known;
    const bytes = Buffer.from(secret);
    const all = [
      secret,
      encodeURIComponent(secret),
      bytes.toString('hex'),
      bytes.toString('base64').slice(0, -4),
    ];
    const forms = all.filter((form) => form.length >= 12);
    this.#forms.set(secret, forms);
    return forms;
  }
}
