/**
 * `GET /openapi.json`: OpenAPI 3.1, made once from the schemas that validate. Every operation of every upstream has
 * an address of its own here, with its input and its result.
 */
import { isDeepStrictEqual } from 'node:util';
import { callOptionsSchema } from '@recloser/calls/write/options';
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import { z } from 'zod';
import { problems } from '../http/problem-codes.ts';
import { batchItemsMost, batchSchema } from '../intake/batch-body.ts';
import { callPaths } from './calls.ts';
import { infoPaths } from './info.ts';
import { problemRefs } from './parts.ts';
import * as answers from './schemas.ts';

type Json = Record<string, unknown>;

/** What the document needs of an upstream. */
export type DescribedUpstream = {
  readonly name: string;
  readonly operations: Readonly<Record<string, OperationDefinition>>;
};

const description = `Hand over a call to an external API and get 202 back: the call is kept, made when its upstream
can take it, and shown here with everything that happened to it. A request is either refused with a problem or kept.`;

/** The document. */
export function createOpenApi(upstreams: readonly DescribedUpstream[]): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Recloser',
      version: '1',
      description,
      license: { name: 'Proprietary', identifier: 'LicenseRef-Proprietary' },
    },
    servers: [{ url: '/', description: 'This server' }],
    security: [{ apiKey: [] }],
    tags: [
      ...upstreams.map(({ name }) => ({ name, description: `Calls to ${name}.` })),
      { name: 'calls', description: 'What became of a call, and changing it.' },
      { name: 'upstreams', description: 'Breakers, holds and queues.' },
      { name: 'operation', description: 'Health, metrics and this document.' },
    ],
    paths: {
      ...Object.assign({}, ...upstreams.flatMap(operationPaths)),
      ...callPaths(upstreams.map(({ name }) => name)),
      ...infoPaths(),
    },
    components: {
      securitySchemes: {
        apiKey: {
          type: 'http',
          scheme: 'bearer',
          description:
            'A key may be limited to the scopes submit, read and operate. Not needed on loopback in development.',
        },
      },
      schemas: componentSchemas(upstreams),
      responses: problemResponses(),
    },
  };
}

function componentSchemas(upstreams: readonly DescribedUpstream[]): Json {
  const schemas: Json = {
    Call: jsonSchema(answers.call, 'output'),
    CallPage: jsonSchema(answers.callPage, 'output'),
    StaleResult: jsonSchema(answers.staleResult, 'output'),
    Upstream: jsonSchema(answers.upstream, 'output'),
    UpstreamList: jsonSchema(answers.upstreamList, 'output'),
    Health: jsonSchema(answers.health, 'output'),
    Problem: jsonSchema(answers.problemBody, 'output'),
    BatchResults: jsonSchema(answers.batchResults, 'output'),
    CallOptions: jsonSchema(callOptionsSchema, 'input'),
    Batch: {
      ...jsonSchema(batchSchema, 'input'),
      description: `1 to ${batchItemsMost} calls; input and options of each as at the address of its operation.`,
    },
  };
  for (const { name, operations } of upstreams) {
    for (const operation of Object.values(operations)) {
      schemas[schemaName(name, operation.name, 'Input')] = jsonSchema(operation.input, 'input');
      schemas[schemaName(name, operation.name, 'Result')] = jsonSchema(operation.result, 'output');
    }
  }
  return schemas;
}

/** One component per status that a problem can have, listing its codes. */
function problemResponses(): Json {
  const responses: Json = {};
  for (const { status } of Object.values(problems)) {
    const codes = Object.entries(problems).filter(([, problem]) => problem.status === status);
    responses[`Problem${status}`] = {
      description: codes.map(([code, { title }]) => `\`${code}\`: ${title}.`).join(' '),
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      ...((status === 429 || status === 503) && {
        headers: { 'Retry-After': { description: 'Seconds.', schema: { type: 'integer', minimum: 1 } } },
      }),
    };
  }
  return responses;
}

function operationPaths({ name: upstream, operations }: DescribedUpstream): Json[] {
  return Object.values(operations).map((operation) => ({
    [`/v1/calls/${upstream}/${operation.name}`]: { post: submitOperation(upstream, operation) },
  }));
}

function submitOperation(upstream: string, operation: OperationDefinition): Json {
  const ref = (part: string) => ({
    $ref: `#/components/schemas/${schemaName(upstream, operation.name, part)}`,
  });
  const call = {
    allOf: [
      { $ref: '#/components/schemas/Call' },
      { type: 'object', properties: { result: { anyOf: [ref('Result'), { type: 'null' }] } } },
    ],
  };
  const stale = {
    allOf: [
      { $ref: '#/components/schemas/StaleResult' },
      { type: 'object', properties: { result: ref('Result') } },
    ],
  };
  const location = { Location: { description: 'The address of the call.', schema: { type: 'string' } } };
  const content = (schema: Json) => ({ 'application/json': { schema } });
  const read = operation.effect === 'read';
  return {
    operationId: `${upstream}-${operation.name}`,
    tags: [upstream],
    summary: operation.summary,
    description: describe(operation),
    parameters: submitParameters,
    requestBody: {
      required: true,
      content: content({
        type: 'object',
        properties: { input: ref('Input'), options: { $ref: '#/components/schemas/CallOptions' } },
        required: ['input'],
        additionalProperties: false,
      }),
    },
    responses: {
      '200': {
        description: read
          ? 'It finished while the client waited (`Prefer: wait`), or a stale result.'
          : 'It finished while the client waited (`Prefer: wait`).',
        headers: replayedHeader,
        content: content(read ? { anyOf: [call, stale] } : call),
      },
      '202': {
        description: 'Redis has stored the call.',
        headers: { ...location, ...replayedHeader },
        content: content(call),
      },
      ...problemRefs(400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 500, 503),
    },
  };
}

const replayedHeader = {
  'Idempotency-Replayed': {
    description: 'Present when an earlier request stored the call: one with the same key, or an equal one.',
    schema: { type: 'string', enum: ['true'] },
  },
};

function describe({ effect, duplicateWindowSeconds }: OperationDefinition): string {
  const stale = effect === 'read' ? ' May be answered with a stale result (`ifOpen: "stale"`).' : '';
  const same = duplicateWindowSeconds
    ? ` Without an \`Idempotency-Key\`, a post with equal input gets the call of this API key that is unfinished, in doubt or was accepted in the last ${duplicateWindowSeconds} s; \`allowDuplicate\` makes a call of its own.`
    : '';
  return `Effect: ${effect}.${stale}${same}`;
}

const submitParameters = [
  {
    name: 'Idempotency-Key',
    in: 'header',
    description: 'Makes repeating the request safe for 24 hours: the same request gets the same call.',
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]+$' },
  },
  {
    name: 'Prefer',
    in: 'header',
    description: '`wait=N`: answer when the call has finished, after N seconds (30 at most) at the latest.',
    schema: { type: 'string' },
  },
];

function schemaName(upstream: string, operation: string, part: string): string {
  const words = `${upstream}-${operation}`.split('-');
  return words.map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`).join('') + part;
}

/** Answers may get further fields in a later release, so those of ours are left open. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema: part }) => alikeTuple(part),
  });
  return rest;
}

/** A pair of two of a kind, written as tools of OpenAPI 3.0 understand it too: many do not know `prefixItems`. */
function alikeTuple(part: z.core.JSONSchema.BaseSchema): void {
  const { prefixItems } = part;
  if (!prefixItems) return;
  const [first, ...others] = prefixItems;
  if (first === undefined || !others.every((other) => isDeepStrictEqual(other, first))) return;
  delete part.prefixItems;
  Object.assign(part, { items: first, minItems: prefixItems.length, maxItems: prefixItems.length });
}
