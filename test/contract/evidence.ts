/** Collects a client's log lines and outcomes, and searches them and Redis for secrets. Each search covers what is new. */
import type { Log } from '@recloser/runtime/observe/log';
import { createLogger } from '@recloser/runtime/observe/logger';
import type { Outcome, Verification } from '@recloser/upstreams/contract/upstream';
import { allStrings } from './redis-contents.ts';

export type Sought = {
  readonly secrets: Iterable<string>;
  readonly signInCode?: string;
  readonly redis: readonly string[];
};

export class Evidence {
  /** What clients logged, before and after pino's serialization. */
  readonly #raw: string[] = [];
  readonly #lines: string[] = [];
  readonly #outcomes: string[] = [];
  readonly #personal = new Set<string>();
  readonly #forms = new Map<string, readonly string[]>();

  log(): Log {
    const destination = { write: (line: string) => void this.#lines.push(line) };
    const pino = createLogger({ name: 'worker', level: 'trace', pretty: false, destination });
    const kept = (level: 'info' | 'warn') => (fields: object, message: string) => {
      this.#raw.push(JSON.stringify([fields, message]));
      pino[level](fields, message);
    };
    return { info: kept('info'), warn: kept('warn') };
  }

  /** Results are for the caller and may contain anything. */
  keep(outcome: Outcome | Verification): void {
    if (outcome.kind !== 'done' && outcome.kind !== 'applied') this.#outcomes.push(JSON.stringify(outcome));
  }

  /** Remembers the names in a result: they must not appear in logs or outcomes. */
  keepPersonal(result: unknown): void {
    for (const text of allStrings(result)) if (/[A-Za-z]{3}/.test(text)) this.#personal.add(text);
  }

  /** Returns every secret that was found, with its place. */
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

  /** The plain text and its common encodings. */
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
