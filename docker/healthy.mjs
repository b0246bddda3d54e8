/**
 * The health check of every container: `node docker/healthy.mjs <url>` exits with status 0 if the URL answers 2xx.
 * Its timeout is shorter than Docker's.
 */
const [url] = process.argv.slice(2);

try {
  const response = await fetch(url, { signal: AbortSignal.timeout(4000) });
  // `docker inspect` shows this text, and so why a container is unhealthy.
  console.log(`${response.status} ${await response.text()}`);
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  console.log(`no answer from ${url}: ${error.message}`);
  process.exitCode = 1;
}
