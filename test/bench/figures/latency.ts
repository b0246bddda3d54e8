/** Posts over keep-alive connections and measures each answer. Runs in the bench's own process. */
import { Agent, request } from 'node:http';

/** A request that is sent repeatedly. */
export type Post = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

/** Sends `count` posts, `atOnce` at a time. Returns the latencies in ms. Throws for an answer other than 202. */
export async function latencies(
  post: Post,
  { count, atOnce }: { count: number; atOnce: number },
): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  const times: number[] = [];
  let sent = 0;
  const poster = async () => {
    while (sent < count) {
      sent += 1;
      times.push(await timeOf(post, agent));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, poster));
  agent.destroy();
  return times;
}

function timeOf({ url, headers, body }: Post, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const beganAt = performance.now();
    const lengths = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) };
    const sending = request(
      url,
      { method: 'POST', agent, headers: { ...headers, ...lengths } },
      (response) => {
        const text: string[] = [];
        response.setEncoding('utf8').on('data', (part: string) => text.push(part));
        response.on('end', () => {
          if (response.statusCode === 202) resolve(performance.now() - beganAt);
          else reject(new Error(`answered ${response.statusCode}: ${text.join('').slice(0, 500)}`));
        });
      },
    );
    sending.on('error', reject).end(body);
  });
}

/** @param share from 0 to 1 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
