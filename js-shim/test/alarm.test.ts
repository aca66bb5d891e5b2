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
