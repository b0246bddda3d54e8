/**
 * The health check of every container: `node docker/healthy.mjs <url>` exits with status 0 if the URL answers 2xx.
 * Its timeout is shorter than Docker's. `docker inspect` shows its output.
 */
const [url] = process.argv.slice(2);

try {
  const response = await fetch(url, { signal: AbortSignal.timeout(4000) });
  console.log(`${response.status} ${await response.text()}`);
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  console.log(`No answer from ${url}: ${error.message}`);
  process.exitCode = 1;
}
