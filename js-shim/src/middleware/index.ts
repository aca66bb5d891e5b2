/** `ionbus/middleware`: what stands around everything that passes a bus (docs/middleware.md). */

export { type CacheOptions, cache } from "./cache.js";
export { type CircuitBreakerOptions, circuitBreaker } from "./circuit_breaker.js";
export { type Choice, type Chosen, type Composed, compose, only } from "./compose.js";
export { type DeduplicateOptions, deduplicate } from "./deduplicate.js";
export { CircuitOpen, isTransient, RateLimited } from "./failures.js";
export { type LoggingOptions, logging, type Passage } from "./logging.js";
export {
  type Changes,
  type Direction,
  Dropped,
  drop,
  type Key,
  type Kind,
  key,
  type Message,
  type MessageContext,
  type Middleware,
  MiddlewareError,
  type MiddlewareOf,
  type Next,
  type Passed,
  type State,
} from "./message.js";
export { type RateLimitOptions, rateLimit } from "./rate_limit.js";
export { type RetryOptions, retry } from "./retry.js";
export { timeout } from "./timeout.js";
export { type ValidationOptions, validation } from "./validation.js";
