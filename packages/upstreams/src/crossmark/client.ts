/**
 * Crossmark's client: one attempt of an operation, the read-back after an ambiguous write, and the breaker's probe.
 * Within an attempt, a write is sent again at most once, and only if it is proved that it was not done.
 */
import type { CookieJar } from 'tough-cookie';
import type { z } from 'zod';
import type { AttemptContext, Outcome, UpstreamClient, Verification } from '../contract/upstream.ts';
import { createHttp, type Exchange, type Http } from '../http/http.ts';
import type { SignedOut } from '../http/judge-exchange.ts';
import type { FailedOutcome } from '../http/outcomes.ts';
import type { ClientOptions } from '../session/client-options.ts';
import {
  classifyRead,
  classifyReissue,
  classifySchedule,
  classifyUnschedule,
  type ReadValue,
} from './classify.ts';
import {
  type CrossmarkInput,
  type CrossmarkOperation,
  type CrossmarkResult,
  crossmark,
} from './definition.ts';
import { type OutcomeCode, outcomes } from './outcome-codes.ts';
import { type PlanningList, readPlanning, type SendRead } from './planning.ts';
import {
  type Proof,
  proveScheduled,
  proveUnscheduled,
  scheduleProofQuery,
  unscheduleProofQuery,
} from './read-back.ts';
import {
  availableRepsRequest,
  type Draft,
  type Place,
  type PlanningQuery,
  planningRequest,
  qualifiedRepsRequest,
  reissueRequest,
  scheduleRequest,
  unscheduleRequest,
} from './requests.ts';
import { SignedIn } from './signed-in.ts';
import { toDate } from './times.ts';
import { availableRepsAnswer, planningAnswer, qualifiedRepsAnswer, toPlanningItem } from './wire.ts';

/** The page size of the origin. One page contains the whole list. */
const planningPageSize = 5_000;

/** Creates the client. Close it when done. */
export function createCrossmarkClient(options: ClientOptions): UpstreamClient {
  return new CrossmarkClient(options);
}

class CrossmarkClient implements UpstreamClient {
  readonly #http: Http = createHttp();
  readonly #session: SignedIn;
  readonly #place: Place;
  readonly #sessions: ClientOptions['sessions'];

  constructor(options: ClientOptions) {
    this.#place = options.settings;
    this.#sessions = options.sessions;
    this.#session = new SignedIn(this.#http, options);
  }

  async run(operation: string, input: unknown, context: AttemptContext): Promise<Outcome> {
    if (!isOperation(operation)) return outcomes.reject('unknown', { code: 'unknown_operation' });
    const parsed = crossmark.operations[operation].input.safeParse(input);
    if (!parsed.success) return outcomes.reject('unknown', { code: 'invalid_input' });
    return this.#run(operation, parsed.data as never, context);
  }

  async verify(operation: string, input: unknown, context: AttemptContext): Promise<Verification> {
    const now = new Date();
    if (operation === 'schedule-event') {
      const parsed = crossmark.operations[operation].input.safeParse(input);
      if (!parsed.success) return unreadable('invalid_input');
      const query = scheduleProofQuery(parsed.data, this.#place);
      const claim = context.claim ?? (async () => true);
      return this.#prove(query, context, ({ rows }) => proveScheduled(rows, parsed.data, this.#place, claim));
    }
    if (operation === 'unschedule-event') {
      const parsed = crossmark.operations[operation].input.safeParse(input);
      if (!parsed.success) return unreadable('invalid_input');
      const query = unscheduleProofQuery(parsed.data, this.#place, now);
      return this.#prove(query, context, ({ rows }) => proveUnscheduled(rows, parsed.data, this.#place));
    }
    return unreadable('unknown_operation');
  }

  canVerify(operation: string): boolean {
    return operation === 'schedule-event' || operation === 'unschedule-event';
  }

  async probe(
    context: AttemptContext,
  ): Promise<{ verdict: 'pass' | 'fail' | 'inconclusive'; reason: string }> {
    const answer = await this.#read(context, (send) => this.#look(send));
    if (answer.kind === 'value' || answer.kind === 'reject')
      return { verdict: 'pass', reason: 'Crossmark answered the request.' };
    if (answer.kind === 'snooze' && answer.status === 429) return { verdict: 'pass', reason: answer.message };
    if (answer.health === 'down' || (answer.kind === 'snooze' && answer.status === 503)) {
      return { verdict: 'fail', reason: answer.message };
    }
    return { verdict: 'inconclusive', reason: answer.message };
  }

  signInAnew(when: 'always' | 'others', signal: AbortSignal): Promise<'signed-in' | 'no' | 'later'> {
    return this.#session.signInAnew(when, signal);
  }

  signInIsDue(): Promise<boolean> {
    return this.#sessions.refusalIsDue();
  }

  async currentSession(): Promise<string | null> {
    return (await this.#sessions.refresh())?.id ?? null;
  }

  async close(): Promise<void> {
    this.#http.close();
  }

  #run<Name extends CrossmarkOperation>(
    operation: Name,
    input: CrossmarkInput<Name>,
    context: AttemptContext,
  ): Promise<Outcome> {
    return this.#operations[operation](input, context);
  }

  readonly #operations: {
    readonly [Name in CrossmarkOperation]: (
      input: CrossmarkInput<Name>,
      context: AttemptContext,
    ) => Promise<Outcome>;
  } = {
    'schedule-event': (input, context) =>
      this.#write(scheduleRequest(this.#place, input), context, (exchange) =>
        classifySchedule(exchange, input, Date.now()),
      ),
    'unschedule-event': (input, context) =>
      this.#write(unscheduleRequest(this.#place, input), context, (exchange) =>
        classifyUnschedule(exchange, input, Date.now()),
      ),
    'reissue-event': (input, context) =>
      this.#write(reissueRequest(this.#place, input), context, (exchange) =>
        classifyReissue(exchange, Date.now()),
      ),
    'list-planning': (input, context) => this.#listPlanning(input, context),
    'list-available-reps': (input, context) =>
      this.#readOne(availableRepsRequest(this.#place, input), availableRepsAnswer, context),
    'list-qualified-reps': (input, context) =>
      this.#readOne(qualifiedRepsRequest(this.#place, input), qualifiedRepsAnswer, context),
  };

  async #listPlanning(input: CrossmarkInput<'list-planning'>, context: AttemptContext): Promise<Outcome> {
    const query = { ...input, limit: planningPageSize };
    const read = await this.#read(context, (send) => readPlanning(send, this.#place, query));
    if (read.kind !== 'value') return read;
    const items = read.value.rows
      .map((row) => toPlanningItem(row, this.#place.timezone))
      .filter((item) => input.mPlanId === undefined || item.mPlanId === input.mPlanId);
    const total = input.mPlanId === undefined ? read.value.total : items.length;
    const result: CrossmarkResult<'list-planning'> = { items, total };
    return { kind: 'done', health: 'up', result, status: read.status };
  }

  async #readOne(draft: Draft, schema: z.ZodType, context: AttemptContext): Promise<Outcome> {
    const read = await this.#read(context, async (send) =>
      classifyRead(await send(draft), schema, Date.now()),
    );
    if (read.kind !== 'value') return read;
    return { kind: 'done', health: 'up', result: read.value, status: read.status };
  }

  #read<T>(
    context: AttemptContext,
    read: (send: SendRead) => Promise<ReadValue<T> | SignedOut | FailedOutcome>,
  ): Promise<ReadValue<T> | FailedOutcome> {
    return this.#session.run<ReadValue<T> | FailedOutcome>({
      sending: 'read',
      signal: context.signal,
      send: (cookies) => read(this.#sender(context, cookies)),
      look: (cookies) => this.#look(this.#sender(context, cookies)),
    });
  }

  #write(
    draft: Draft,
    context: AttemptContext,
    classify: (exchange: Exchange) => Outcome | SignedOut,
  ): Promise<Outcome> {
    let marked = false;
    const sendBy = () => context.sendBy?.() ?? Number.POSITIVE_INFINITY;
    return this.#session.run<Outcome>({
      sending: 'write',
      signal: context.signal,
      send: async (cookies) => {
        // The mark may have expired during a long sign-in.
        if (!marked || performance.now() > sendBy()) await context.onSending();
        marked = true;
        const request = this.#request(draft, context, cookies);
        return classify(await this.#http.send({ ...request, sendBy: sendBy() }));
      },
      look: (cookies) => this.#look(this.#sender(context, cookies)),
    });
  }

  /** The smallest read that Crossmark has. */
  async #look(send: SendRead): Promise<ReadValue<unknown> | SignedOut | FailedOutcome> {
    const today = toDate(new Date().toISOString(), this.#place.timezone);
    const draft = planningRequest(this.#place, { startDate: today, endDate: today, page: 1, limit: 1 });
    return classifyRead(await send(draft), planningAnswer, Date.now());
  }

  #sender(context: AttemptContext, cookies: CookieJar): SendRead {
    return (draft) => this.#http.send(this.#request(draft, context, cookies));
  }

  async #prove(
    query: Omit<PlanningQuery, 'page'>,
    context: AttemptContext,
    judge: (list: PlanningList) => Proof | Promise<Proof>,
  ): Promise<Verification> {
    const read = await this.#read(context, (send) => readPlanning(send, this.#place, query));
    return read.kind === 'value' ? judge(read.value) : { kind: 'unreadable', outcome: read };
  }

  #request(draft: Draft, { signal, headers }: AttemptContext, cookies: CookieJar) {
    return { ...draft, headers: { ...headers, ...draft.headers }, signal, cookies };
  }
}

function unreadable(code: OutcomeCode): Verification {
  const outcome = outcomes.reject('unknown', { code });
  return { kind: 'unreadable', outcome };
}

function isOperation(name: string): name is CrossmarkOperation {
  return Object.hasOwn(crossmark.operations, name);
}
