/** The part of the OpenAPI document about calls that were handed over, and about handing over many at once. */
import { callStatuses } from '@recloser/calls/read/status';
import { listLimits } from '../calls/list-calls.ts';
import { longestWaitSeconds } from '../http/prefer.ts';
import { json, problemRefs } from './parts.ts';

type Json = Record<string, unknown>;

const idParameter = { name: 'id', in: 'path', required: true, schema: { type: 'string' } };
const location = { Location: { description: 'The address of the call.', schema: { type: 'string' } } };

/** Addresses under `/v1/calls` that no upstream owns. */
export function callPaths(upstreams: readonly string[]): Json {
  return {
    '/v1/calls': { get: list(upstreams) },
    '/v1/calls:batch': { post: batch },
    '/v1/calls/{id}': { parameters: [idParameter], get: one, delete: cancel },
    '/v1/calls/{id}/retry': { parameters: [idParameter], post: retry },
    '/v1/calls/{id}/events': { parameters: [idParameter], get: events },
  };
}

function list(upstreams: readonly string[]): Json {
  const query = (name: string, schema: Json, description: string) => ({
    name,
    in: 'query',
    description,
    schema,
  });
  return {
    operationId: 'list-calls',
    tags: ['calls'],
    summary: 'Calls, newest first, without results and histories.',
    parameters: [
      query('upstream', { type: 'string', enum: upstreams }, 'Only calls to this upstream.'),
      query('status', { type: 'string', enum: callStatuses }, 'Only calls with this status.'),
      query('cursor', { type: 'string' }, '`nextCursor` of the page before.'),
      query(
        'limit',
        { type: 'integer', minimum: 1, maximum: listLimits.most, default: listLimits.default },
        'Calls on a page at most.',
      ),
    ],
    responses: {
      '200': { description: 'A page.', content: json('CallPage') },
      ...problemRefs(400, 401, 403, 429, 500, 503),
    },
  };
}

const one: Json = {
  operationId: 'get-call',
  tags: ['calls'],
  summary: 'The call as it stands.',
  parameters: [
    {
      name: 'wait',
      in: 'query',
      description: `Answer when the call has finished, after so many seconds (${longestWaitSeconds} at most) at the latest.`,
      schema: { type: 'integer', minimum: 0 },
    },
  ],
  responses: {
    '200': { description: 'The call.', content: json('Call') },
    ...problemRefs(400, 401, 403, 404, 410, 429, 500, 503),
  },
};

const cancel: Json = {
  operationId: 'cancel-call',
  tags: ['calls'],
  summary: 'Cancels a waiting call. It is kept as a record.',
  responses: {
    '200': {
      description: 'The cancelled call, also when it was cancelled before.',
      headers: location,
      content: json('Call'),
    },
    ...problemRefs(400, 401, 403, 404, 409, 410, 429, 500, 503),
  },
};

const retry: Json = {
  operationId: 'retry-call',
  tags: ['calls'],
  summary: 'Puts a failed, expired or cancelled call back into the line.',
  description:
    'With a fresh count of attempts; a limit (`expiresAt`) that has passed is lifted. Takes no body.',
  responses: {
    '202': { description: 'The call, waiting again.', headers: location, content: json('Call') },
    ...problemRefs(400, 401, 403, 404, 409, 410, 429, 500, 503),
  },
};

const events: Json = {
  operationId: 'watch-call',
  tags: ['calls'],
  summary: "A call's life as server-sent events; ends when the call has finished.",
  description:
    'Events: `attempt` (an entry of the history) and `status` (the call). After a break send `Last-Event-ID`: only what is new follows.',
  parameters: [{ name: 'Last-Event-ID', in: 'header', schema: { type: 'string' } }],
  responses: {
    '200': { description: 'The events.', content: { 'text/event-stream': { schema: { type: 'string' } } } },
    '204': { description: 'The client has seen the end.' },
    ...problemRefs(400, 401, 403, 404, 410, 429, 500, 503),
  },
};

const batch: Json = {
  operationId: 'submit-batch',
  tags: ['calls'],
  summary: 'Hands over up to 1,000 calls at once.',
  description:
    'When any item is malformed nothing is stored. Otherwise there is one result per item, in order.',
  parameters: [
    {
      name: 'Idempotency-Key',
      in: 'header',
      description:
        'Holds for every item without a key of its own, by its place in the batch. A repeated batch must be unchanged; items may be left out or added at its end only.',
      schema: { type: 'string', minLength: 1, maxLength: 255 },
    },
  ],
  requestBody: { required: true, content: json('Batch') },
  responses: {
    '202': { description: 'All items are kept.', content: json('BatchResults') },
    '207': { description: 'Not all items are kept: see each result.', content: json('BatchResults') },
    ...problemRefs(400, 401, 403, 413, 415, 422, 429, 500, 503),
  },
};
