import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createAlarm, now } from "../src/alarm.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("it rings once, at the earliest of its deadlines", () => {
  const ring = vi.fn();
  const alarm = createAlarm(ring);
  alarm.wantBy(now() + 500);
  alarm.wantBy(now() + 100);
  alarm.wantBy(now() + 300);
  vi.advanceTimersByTime(99);
  expect(ring).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1_000);
  expect(ring).toHaveBeenCalledOnce();
});

test("it leaves no timer behind when it is stopped, and may be asked again", () => {
  const ring = vi.fn();
  const alarm = createAlarm(ring);
  alarm.wantBy(now() + 100);
  alarm.stop();
  expect(vi.getTimerCount()).toBe(0);
  alarm.wantBy(now() + 200);
  vi.advanceTimersByTime(200);
  expect(ring).toHaveBeenCalledOnce();
});

test("it is not asked for what never comes", () => {
  createAlarm(() => {}).wantBy(Number.POSITIVE_INFINITY);
  expect(vi.getTimerCount()).toBe(0);
});

test("it rings no more often than it has to where a deadline lies between two milliseconds", async () => {
  const rings: number[] = [];
  const deadline = now() + 1.5;
  const alarm = createAlarm(() => {
    rings.push(now());
    if (now() < deadline) queueMicrotask(() => alarm.wantBy(deadline)); // as a flush does
  });
  alarm.wantBy(deadline);
  await vi.advanceTimersByTimeAsync(10);
  expect(rings).toHaveLength(1);
});
