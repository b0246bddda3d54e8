/**
 * `GET /openapi.json`: OpenAPI 3.1, generated once at startup from the schemas that validate requests. Each operation
 * of each upstream has its own path with its input and result.
 */
import { isDeepStrictEqual } from 'node:util';
import { callOptionsSchema } from '@recloser/calls/write/options';
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import { z } from 'zod';
import { longestWaitSeconds } from '../http/prefer.ts';
import { problems } from '../http/problem-codes.ts';
import { batchItemsMost, batchSchema } from '../intake/batch-body.ts';
import { callPaths } from './calls.ts';
import { infoPaths } from './info.ts';
import { problemRefs } from './parts.ts';
import * as answers from './schemas.ts';

type Json = Record<string, unknown>;

/** The fields of an upstream that the document needs. */
export type DescribedUpstream = {
  readonly name: string;
  readonly operations: Readonly<Record<string, OperationDefinition>>;
};

const description = `Submit a call to an external API and receive \`202\`. Recloser stores the call, makes it as soon as the
upstream is available, and reports its status, attempts and result. A request is either stored or refused with a
problem, never partly stored.`;

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
      ...upstreams.map(({ name }) => ({ name, description: `Submit calls to ${name}.` })),
      { name: 'calls', description: 'Get, list, cancel and retry calls.' },
      { name: 'upstreams', description: 'State of breakers, holds and queues.' },
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
            'Send `Authorization: Bearer <key>`. A key can be limited to the scopes `submit`, `read` and `operate`. If no keys are configured (development only), requests from localhost need none.',
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
      description: `1 to ${batchItemsMost} calls. \`input\` and \`options\` of an item have the schema of its operation.`,
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

/** One response component per problem status. Its description lists the codes. */
function problemResponses(): Json {
  const responses: Json = {};
  for (const { status } of Object.values(problems)) {
    const codes = Object.entries(problems).filter(([, problem]) => problem.status === status);
    responses[`Problem${status}`] = {
      description: codes.map(([code, { title }]) => `\`${code}\`: ${title}.`).join(' '),
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      ...((status === 429 || status === 503) && {
        headers: {
          'Retry-After': {
            description: 'Number of seconds to wait before a retry.',
            schema: { type: 'integer', minimum: 1 },
          },
        },
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
  const location = { Location: { description: 'URL of the call.', schema: { type: 'string' } } };
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
          ? 'The call finished within `Prefer: wait`, or a stale result is returned.'
          : 'The call finished within `Prefer: wait`.',
        headers: replayedHeader,
        content: content(read ? { anyOf: [call, stale] } : call),
      },
      '202': {
        description: 'The call is stored and will be made.',
        headers: { ...location, ...replayedHeader },
        content: content(call),
      },
      ...problemRefs(400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 500, 503),
    },
  };
}

const replayedHeader = {
  'Idempotency-Replayed': {
    description:
      'Present if an earlier request stored this call: a request with the same `Idempotency-Key`, or an equal request.',
    schema: { type: 'string', enum: ['true'] },
  },
};

function describe({ effect, duplicateWindowSeconds }: OperationDefinition): string {
  const stale = effect === 'read' ? ' Supports `ifOpen: "stale"`.' : '';
  const same = duplicateWindowSeconds
    ? ` A request without \`Idempotency-Key\` whose input equals that of an earlier call of the same API key returns that call, if it is unfinished, in doubt or was accepted within the last ${duplicateWindowSeconds} seconds. To make a second call, set \`allowDuplicate\`.`
    : '';
  return `Effect: \`${effect}\` (${effects[effect]}).${stale}${same}`;
}

const effects: Readonly<Record<OperationDefinition['effect'], string>> = {
  read: 'safe to repeat',
  idempotent: 'a repeat reaches the same state',
  unsafe: 'a repeat may have its effect twice',
};

const submitParameters = [
  {
    name: 'Idempotency-Key',
    in: 'header',
    description:
      'Makes retries safe for 24 hours: the same request with the same key returns the same call. A different request with the same key is refused with `422`.',
    example: 'booking-4711',
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]+$' },
  },
  {
    name: 'Prefer',
    in: 'header',
    description: `\`wait=N\`: waits up to N seconds for the call to finish and then answers \`200\`, otherwise \`202\`. The maximum is ${longestWaitSeconds}.`,
    example: 'wait=5',
    schema: { type: 'string' },
  },
];

function schemaName(upstream: string, operation: string, part: string): string {
  const words = `${upstream}-${operation}`.split('-');
  return words.map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`).join('') + part;
}

/** The schemas of responses allow further fields, which a later release may add. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema: part }) => alikeTuple(part),
  });
  return rest;
}

/** Rewrites a tuple of equal items without `prefixItems`, which many tools do not support. */
function alikeTuple(part: z.core.JSONSchema.BaseSchema): void {
  const { prefixItems } = part;
  if (!prefixItems) return;
  const [first, ...others] = prefixItems;
  if (first === undefined || !others.every((other) => isDeepStrictEqual(other, first))) return;
  delete part.prefixItems;
  Object.assign(part, { items: first, minItems: prefixItems.length, maxItems: prefixItems.length });
}
