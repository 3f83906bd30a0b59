/**
 * Quantities as text: durations, sizes, rates, shares. Flags, scenario files and thresholds share this
 * syntax. Not here: which option takes which quantity (plan.ts).
 */
import { badOption } from './error.js';

const MILLISECONDS: Record<string, number> = { us: 0.001, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const BYTES: Record<string, number> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

function split(text: string): { value: number; unit: string } | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z%]*)$/.exec(text.trim());
  return match ? { value: Number(match[1]), unit: match[2] ?? '' } : undefined;
}

/** `250ms`, `1.5s`, `2m` or `0` to milliseconds. Throws `bad_option`. */
export function parseDuration(name: string, text: string): number {
  const parts = split(text);
  const scale = parts && (parts.value === 0 && parts.unit === '' ? 1 : MILLISECONDS[parts.unit]);
  if (!parts || scale === undefined) throw badOption(name, text, 'a duration such as 250ms or 10s');
  return parts.value * scale;
}

/** `4096`, `64KiB`, `1.5MB` to bytes. Throws `bad_option`. */
export function parseSize(name: string, text: string): number {
  const parts = split(text);
  const scale = parts && (parts.unit === '' ? 1 : BYTES[parts.unit]);
  if (!parts || scale === undefined) throw badOption(name, text, 'a size such as 512 or 64KiB');
  return Math.round(parts.value * scale);
}

/** `16KiB/s` or `16KiB` to bytes a second. Throws `bad_option`. */
export function parseByteRate(name: string, text: string): number {
  return parseSize(name, text.replace(/\/s$/, ''));
}

/** `250/s`, `250` or `30/m` to events a second. Throws `bad_option`. */
export function parseRate(name: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(?:\/(s|m))?$/.exec(text.trim());
  const value = match ? Number(match[1]) / (match[2] === 'm' ? 60 : 1) : 0;
  if (!(value > 0)) throw badOption(name, text, 'a rate above 0, such as 250/s');
  return value;
}

/** `12` (a count) or `10%` (a share of `total`, rounded up) to a count. Throws `bad_option`. */
export function parseShare(name: string, text: string, total: number): number {
  const parts = split(text);
  const share = parts?.unit === '%' ? Math.ceil((parts.value / 100) * total) : parts?.value;
  if (!parts || share === undefined || (parts.unit !== '' && parts.unit !== '%'))
    throw badOption(name, text, 'a count such as 20 or a share such as 10%');
  if (!Number.isInteger(share)) throw badOption(name, text, 'a whole number or a percentage');
  return share;
}

/** A whole number within `[min, max]`. Throws `bad_option`. */
export function parseCount(name: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw badOption(name, text, `a whole number from ${min} to ${max}`);
  }
  return value;
}

/** Formats microseconds for people: `850 µs`, `2.3 ms`, `1.25 s`; `–` for null. */
export function formatMicros(us: number | null | undefined): string {
  if (us === null || us === undefined || Number.isNaN(us)) return '–';
  if (us < 10) return `${Math.round(us * 10) / 10} µs`;
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 999_500) return `${digits(us / 1000)} ms`;
  return `${digits(us / 1e6)} s`;
}

/** Formats milliseconds as flags write them: `250ms`, `10s`. */
export function formatDuration(ms: number): string {
  if (ms >= 60_000 && ms % 60_000 === 0) return `${ms / 60_000}m`;
  return ms >= 1000 && ms % 100 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

/** Formats bytes for people: `512 B`, `4.2 MB`. */
export function formatBytes(bytes: number): string {
  const sign = bytes < 0 ? '-' : '';
  const size = Math.abs(bytes);
  if (size < 1000) return `${sign}${Math.round(size)} B`;
  if (size < 999_500) return `${sign}${digits(size / 1e3)} kB`;
  if (size < 999.5e6) return `${sign}${digits(size / 1e6)} MB`;
  return `${sign}${digits(size / 1e9)} GB`;
}

/** Formats an isolation ratio with its confidence interval: `1.10 (0.92–1.31 in 3 turns)`. */
export function formatIsolation({
  ratio,
  interval,
  turns,
}: {
  readonly ratio: number;
  readonly interval: readonly [number, number] | null;
  readonly turns: readonly unknown[];
}): string {
  if (interval === null) return `${ratio.toFixed(2)} (one turn: no interval)`;
  const [low, high] = interval;
  return `${ratio.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)} in ${turns.length} turns)`;
}

/** Formats a count or rate with thousands separators: `98,231`, `12.5`. */
export function formatCount(value: number): string {
  const rounded = Math.abs(value) < 100 ? Math.round(value * 10) / 10 : Math.round(value);
  return rounded.toLocaleString('en-US');
}

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
