/**
 * The worker of the bare side: BullMQ and got without Recloser. Signs in once, then makes one request per job. An error
 * fails the job, and BullMQ retries it.
 */
import { Agent, createServer } from 'node:http';
import { Worker } from 'bullmq';
import got from 'got';
import { Redis } from 'ioredis';

const { REDIS_URL = '', QUEUE = '', UPSTREAM_URL = '', CONCURRENCY, TIMEOUT_MS, PORT } = process.env;
const http = got.extend({
  agent: { http: new Agent({ keepAlive: true }) },
  retry: { limit: 0 },
  timeout: { request: Number(TIMEOUT_MS) },
  followRedirect: false,
});

const signedIn = await http.post(`${UPSTREAM_URL}/login/authenticate`, {
  json: {
    UserType: 'MVEntityUser',
    UserID: 'simulator',
    Password: 'simulator',
    Timezone: 'America/New_York',
  },
  throwHttpErrors: false,
});
const cookie = (signedIn.headers['set-cookie'] ?? []).map((line) => line.split(';')[0]).join('; ');

async function listReps(input: Record<string, string>) {
  const searchParams = { mPlanID: input.mPlanId, storeID: input.locationId, page: '1', limit: '100' };
  const url = `${UPSTREAM_URL}/planningextcontroller/getQualifiedRepsForScheduling`;
  return JSON.parse((await http.get(url, { searchParams, headers: { cookie } })).body);
}

async function schedule({ repId, mPlanId, locationId, start, end }: Record<string, string>) {
  const form = {
    ClassName: 'MVScheduledmPlan',
    RepID: repId,
    mPlanID: mPlanId,
    LocationID: locationId,
    Start: start,
    End: end,
    hash: '',
    v: '3.0.1',
    PlanningOverride: 'true',
  };
  const url = `${UPSTREAM_URL}/planningextcontroller/scheduleMplanEvent`;
  return JSON.parse((await http.post(url, { form, headers: { cookie } })).body);
}

const worker = new Worker(
  QUEUE,
  ({ name, data: { input } }) => (name === 'schedule-event' ? schedule(input) : listReps(input)),
  {
    connection: new Redis(REDIS_URL, { maxRetriesPerRequest: null }),
    concurrency: Number(CONCURRENCY),
  },
);
worker.on('error', (error) => console.error(error));
await worker.waitUntilReady();
const health = createServer((_request, response) => response.end('ok')).listen(Number(PORT), '127.0.0.1');

process.once('SIGTERM', async () => {
  health.close();
  await worker.close(true);
  process.exit(0);
});
