/** The intake of the bare side: Express and `Queue.add` without Recloser. Answers 202 once Redis has the job. */
import { Queue } from 'bullmq';
import express from 'express';
import { Redis } from 'ioredis';

const { REDIS_URL = '', QUEUE = '', PORT } = process.env;
const connection = new Redis(REDIS_URL, { maxRetriesPerRequest: null });
const queue = new Queue(QUEUE, { connection });

const app = express();
app.use(express.json());
app.get('/health/ready', (_request, response) => void response.json({ status: 'pass' }));
app.post('/calls/:operation', async (request, response) => {
  const job = await queue.add(request.params.operation, request.body, {
    attempts: 8,
    backoff: { type: 'exponential', delay: 1_000 },
    removeOnComplete: { age: 24 * 60 * 60, count: 10_000 },
    removeOnFail: false,
  });
  response.status(202).location(`/calls/${job.id}`).json({ id: job.id });
});
const server = app.listen(Number(PORT), '127.0.0.1');

process.once('SIGTERM', async () => {
  server.close();
  await queue.close();
  process.exit(0);
});
