/**
 * Follows the memory of the processes and of Redis, and reports its growth. A process is only judged if it ran in the
 * second and the last quarter. Resident memory comes from /proc, so without Linux only Redis is followed.
 */
import { readFile } from 'node:fs/promises';

/** One process's memory. `growth` is the change from the median of the second quarter to that of the last: 0.05 is 5 %. */
export type MemoryReport = {
  readonly secondQuarterMb: number;
  readonly lastQuarterMb: number;
  readonly growth: number;
  /** By least squares over the last three quarters. */
  readonly mbPerHour: number;
};

type Sample = { readonly at: number; readonly bytes: number };

export class Memory {
  readonly #samples = new Map<string, Sample[]>();

  note(name: string, bytes: number): void {
    const samples = this.#samples.get(name) ?? [];
    samples.push({ at: performance.now(), bytes });
    this.#samples.set(name, samples);
  }

  /** Reads a process's resident memory. Skips a process that has exited. */
  async sample(name: string, pid: number | undefined): Promise<void> {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
    if (kilobytes) this.note(name, Number(kilobytes) * 1024);
  }

  /** Reports on the time between two values of `performance.now()`. */
  report(from: number, to: number): Record<string, MemoryReport> {
    const quarter = (to - from) / 4;
    const reports: Record<string, MemoryReport> = {};
    for (const [name, samples] of this.#samples) {
      const second = samples.filter(({ at }) => at >= from + quarter && at < from + 2 * quarter);
      const last = samples.filter(({ at }) => at >= to - quarter && at <= to);
      const early = (samples[0]?.at ?? to) > from + quarter;
      if (early || second.length < 3 || last.length < 3) continue;
      const [before, after] = [median(second), median(last)];
      reports[name] = {
        secondQuarterMb: mb(before),
        lastQuarterMb: mb(after),
        growth: Math.round((after / before - 1) * 1000) / 1000,
        mbPerHour: mb(slope(samples.filter(({ at }) => at >= from + quarter && at <= to)) * 3_600_000),
      };
    }
    return reports;
  }
}

const mb = (bytes: number): number => Math.round(bytes / 1024 / 102.4) / 10;

function median(samples: readonly Sample[]): number {
  const sorted = samples.map(({ bytes }) => bytes).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Bytes per ms. */
function slope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [at, bytes] = [mean((sample) => sample.at), mean((sample) => sample.bytes)];
  const spread = samples.reduce((sum, sample) => sum + (sample.at - at) ** 2, 0);
  const together = samples.reduce((sum, sample) => sum + (sample.at - at) * (sample.bytes - bytes), 0);
  return spread === 0 ? 0 : together / spread;
}
