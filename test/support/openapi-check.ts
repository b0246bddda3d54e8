/**
 * Validates answers of the API against its OpenAPI document: status, media type and body. Whatever the document does not
 * describe is a mismatch, except a 404 for an unknown path, which must be a problem document.
 */

import { definitions } from '@recloser/upstreams/definitions';
import { createOpenApi } from '@recloser/web/openapi/document';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

type Json = Record<string, unknown>;

export type JudgedAnswer = {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly type: string | null;
  readonly body: string;
};

type Path = { readonly pattern: RegExp; readonly name: string; readonly operations: Json };

/** The document that web serves. */
export const openApi = createOpenApi(Object.values(definitions));

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addSchema(openApi, 'openapi');

const paths: Path[] = Object.entries(openApi.paths as Record<string, Json>)
  .map(([name, operations]) => ({
    name,
    operations,
    pattern: new RegExp(`^${name.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{[^}]+\}/g, '[^/]+')}$`),
  }))
  // Fixed paths before patterns.
  .sort((a, b) => Number(a.name.includes('{')) - Number(b.name.includes('{')));

const validators = new Map<string, ValidateFunction>();

/** Returns what is wrong with the answer, or null. */
export function mismatch(answer: JudgedAnswer): string | null {
  const path = paths.find(({ pattern }) => pattern.test(answer.path));
  const operation = path?.operations[answer.method.toLowerCase()] as Json | undefined;
  if (!path || !operation) {
    if (answer.status < 400) return 'answered, but the document does not know this address and method';
    return judgeBody('#/components/schemas/Problem', answer);
  }
  const responses = operation.responses as Record<string, Json>;
  const described = responses[String(answer.status)];
  if (!described) return `status ${answer.status} is not described`;
  const reference = typeof described.$ref === 'string' ? described.$ref : undefined;
  const content = (reference ? resolve(reference) : described).content as Record<string, Json> | undefined;
  if (!content) return answer.body === '' ? null : 'a body where none is described';
  const type = answer.type?.split(';')[0]?.trim() ?? '';
  if (!content[type]) return `media type ${type} is not described`;
  if (!type.endsWith('json')) return null;
  const base =
    reference ?? `#/paths/${asStep(path.name)}/${answer.method.toLowerCase()}/responses/${answer.status}`;
  return judgeBody(`${base}/content/${asStep(type)}/schema`, answer);
}

function judgeBody(pointer: string, answer: JudgedAnswer): string | null {
  const validate = validators.get(pointer) ?? ajv.compile({ $ref: `openapi${pointer}` });
  validators.set(pointer, validate);
  if (validate(JSON.parse(answer.body))) return null;
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`).join('; ');
}

function resolve(reference: string): Json {
  const parts = reference.slice(2).split('/');
  return parts.reduce<Json>((node, part) => node[part] as Json, openApi as Json);
}

/** Encodes a key for a JSON Pointer in a URI fragment. */
function asStep(key: string): string {
  return encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'));
}
