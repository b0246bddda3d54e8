/**
 * The health check of every container: `node docker/healthy.mjs <url>` ends with 0 when the URL answers 2xx.
 *
 * Always true: it gives up by itself before Docker would have to kill it.
 */
const [url] = process.argv.slice(2);

try {
  const response = await fetch(url, { signal: AbortSignal.timeout(4000) });
  // Docker keeps this text: `docker inspect` then shows why a container is unhealthy.
  console.log(`${response.status} ${await response.text()}`);
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  console.log(`no answer from ${url}: ${error.message}`);
  process.exitCode = 1;
}
