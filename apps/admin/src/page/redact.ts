/**
 * Redacts a job for Bull Board and the call pages. This is an allow-list: an unknown field stays hidden. Sealed
 * values are never shown.
 */
import type { OperationDefinition, UpstreamDefinition } from '@recloser/upstreams/contract/upstream';

const hidden = '[hidden]';
const sealed = '[sealed]';

/** Envelope fields without personal data. `input` and `options` are redacted field by field. */
const shownFields = new Set(
  'v operation createdAt requestId submittedBy deferrals trials history handedBack sending readBack settled'.split(
    ' ',
  ),
);
const shownOptions = new Set('ifOpen priority maxAttempts runAt expiresAt'.split(' '));

/**
 * Personal, commercial or secret fields at any depth. Source: "Secrets and personal data" in
 * docs/upstreams/crossmark.md and docs/upstreams/walmart-edr.md.
 */
const personalNames = new Set(
  [
    'comments email emails additionalemail phone phonenumber mobile title name fullname firstname lastname namesort',
    'repname reps rep staffedreps employeeid repmvid userid username user lastchangeuserid lastchangeuser creatorid',
    'password token cookie code credid secret hash offlinehash authorization salestoolurl salestools mergedpdf url',
    'claimnbr eventfee demofeeamt democost vendornbr vendordesc vendorbillednbr vendorbilleddesc billtovendorid body',
  ]
    .join(' ')
    .split(' '),
);

const maxItems = 20;
const maxDepth = 6;
/** Ids, times, numbers and single words. Without spaces and @ there is no free text and no email address. */
const plainText = /^[\w.:+/-]{1,80}$/;

/** The job's data, redacted. */
export function redactData(definition: UpstreamDefinition, data: unknown): unknown {
  if (!isObject(data)) return data === undefined ? undefined : hidden;
  const operation = definition.operations[String(data.operation)];
  return mapObject(data, (value, name) => {
    if (name === 'input') return redactInput(operation, value);
    if (name === 'options' && isObject(value)) {
      return mapObject(value, (option, key) => (shownOptions.has(key) ? scrub(option) : hidden));
    }
    return shownFields.has(name) ? scrub(value, { texts: true }) : hidden;
  });
}

/** The job's return value, redacted: the attempt, and the result unless it is personal. */
export function redactReturnValue(
  definition: UpstreamDefinition,
  operation: string,
  value: unknown,
): unknown {
  if (!isObject(value)) return value === null || value === undefined ? value : hidden;
  const isPersonal = definition.operations[operation]?.sealedResult ?? false;
  return mapObject(value, (part, name) => {
    if (name === 'attempt') return scrub(part, { texts: true });
    if (name !== 'result') return hidden;
    if (isSealed(part)) return sealed;
    return isPersonal ? hidden : scrub(part);
  });
}

function redactInput(operation: OperationDefinition | undefined, input: unknown): unknown {
  if (!isObject(input)) return hidden;
  return mapObject(input, (value, name) => {
    if (isSealed(value)) return sealed;
    if (operation === undefined || operation.sealedInput?.includes(name)) return hidden;
    return scrubNamed(name, value, { texts: false, depth: 0 });
  });
}

type Scrubbing = { readonly texts?: boolean; readonly depth?: number };

/** `texts` allows free text. It is set for fields that contain only Recloser's own messages. */
function scrub(value: unknown, { texts = false, depth = 0 }: Scrubbing = {}): unknown {
  if (isSealed(value)) return sealed;
  if (typeof value === 'string')
    return texts || value === '' || plainText.test(value) ? unsealed(value) : hidden;
  if (Array.isArray(value)) {
    if (depth >= maxDepth) return hidden;
    const shown = value.slice(0, maxItems).map((item) => scrub(item, { texts, depth: depth + 1 }));
    return value.length > maxItems ? [...shown, `[${value.length - maxItems} more]`] : shown;
  }
  if (!isObject(value)) return value;
  if (depth >= maxDepth) return hidden;
  return mapObject(value, (part, name) => scrubNamed(name, part, { texts, depth: depth + 1 }));
}

function scrubNamed(name: string, value: unknown, how: Scrubbing): unknown {
  const plain = name.toLowerCase().replace(/[^a-z0-9]/g, '');
  // Recloser's codes are words such as `http_503`. A code from a text message is digits.
  if (plain === 'code' && how.texts && typeof value === 'string' && /^[a-z][\w.-]*$/i.test(value))
    return value;
  return personalNames.has(plain) && value !== null ? hidden : scrub(value, how);
}

function unsealed(text: string): string {
  return /^s\d+\.[\w-]{20,}$/.test(text) ? sealed : text;
}

function isSealed(value: unknown): boolean {
  return isObject(value) && 'sealed' in value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function mapObject(
  object: Readonly<Record<string, unknown>>,
  change: (value: unknown, name: string) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value, name)]));
}
