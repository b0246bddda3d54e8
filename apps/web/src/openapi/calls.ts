/** The part of the OpenAPI document for submitted calls and batches. */
import { callStatuses } from '@recloser/calls/read/status';
import { listLimits } from '../calls/list-calls.ts';
import { longestWaitSeconds } from '../http/prefer.ts';
import { json, problemRefs } from './parts.ts';

type Json = Record<string, unknown>;

const idParameter = { name: 'id', in: 'path', required: true, schema: { type: 'string' } };
const location = { Location: { description: 'URL of the call.', schema: { type: 'string' } } };

/** Paths under `/v1/calls` that do not name an upstream. */
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
    summary: 'List calls',
    description:
      'Returns calls, newest first, without `result` and `history`. Follow `links.next` until it is null. A page may contain fewer than `limit` calls.',
    parameters: [
      query('upstream', { type: 'string', enum: upstreams }, 'Only calls to this upstream.'),
      query('status', { type: 'string', enum: callStatuses }, 'Only calls with this status.'),
      query('cursor', { type: 'string' }, '`nextCursor` of the previous page.'),
      query(
        'limit',
        { type: 'integer', minimum: 1, maximum: listLimits.most, default: listLimits.default },
        'Maximum number of calls on the page.',
      ),
    ],
    responses: {
      '200': { description: 'A page of calls.', content: json('CallPage') },
      ...problemRefs(400, 401, 403, 429, 500, 503),
    },
  };
}

const one: Json = {
  operationId: 'get-call',
  tags: ['calls'],
  summary: 'Get a call',
  description:
    'Returns the call with its status, history and result. Answers `410` if the call has finished and is no longer kept.',
  parameters: [
    {
      name: 'wait',
      in: 'query',
      description: `Number of seconds to wait for the call to finish. The maximum is ${longestWaitSeconds}; a greater value is reduced to it.`,
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
  summary: 'Cancel a call',
  description:
    'Cancels a waiting call and keeps its record. Cancelling it again returns the same response. Answers `409` if the call is running, may have been sent, or has finished with another status.',
  responses: {
    '200': {
      description: 'The cancelled call.',
      headers: location,
      content: json('Call'),
    },
    ...problemRefs(400, 401, 403, 404, 409, 410, 429, 500, 503),
  },
};

const retry: Json = {
  operationId: 'retry-call',
  tags: ['calls'],
  summary: 'Retry a call',
  description:
    'Returns a failed, expired or cancelled call to the queue with all its attempts. An `expiresAt` in the past is removed. Answers `409` if the call has not finished, succeeded or is in doubt. The request has no body.',
  responses: {
    '202': { description: 'The call is back in the queue.', headers: location, content: json('Call') },
    ...problemRefs(400, 401, 403, 404, 409, 410, 429, 500, 503),
  },
};

const events: Json = {
  operationId: 'watch-call',
  tags: ['calls'],
  summary: 'Stream the events of a call',
  description:
    'Sends server-sent events until the call has finished: `attempt` (a new entry of the history) and `status` (the call after a change).',
  parameters: [
    {
      name: 'Last-Event-ID',
      in: 'header',
      description:
        'The id of the last event received. After a reconnect, the stream continues with newer events.',
      schema: { type: 'string' },
    },
  ],
  responses: {
    '200': {
      description: 'A stream of events.',
      content: { 'text/event-stream': { schema: { type: 'string' } } },
    },
    '204': { description: 'The client has already received the last event.' },
    ...problemRefs(400, 401, 403, 404, 410, 429, 500, 503),
  },
};

const batch: Json = {
  operationId: 'submit-batch',
  tags: ['calls'],
  summary: 'Submit up to 1,000 calls',
  description:
    'If any item is invalid, nothing is stored. Otherwise `results` has one entry per item, in the same order.',
  parameters: [
    {
      name: 'Idempotency-Key',
      in: 'header',
      description:
        'Applies to each item without an `idempotencyKey`, by its position in the batch. To retry a batch, send it unchanged. Items may only be added or removed at its end.',
      schema: { type: 'string', minLength: 1, maxLength: 255 },
    },
  ],
  requestBody: { required: true, content: json('Batch') },
  responses: {
    '202': { description: 'All calls are stored.', content: json('BatchResults') },
    '207': {
      description: 'At least one item has no stored call. Check each result.',
      content: json('BatchResults'),
    },
    ...problemRefs(400, 401, 403, 413, 415, 422, 429, 500, 503),
  },
};
