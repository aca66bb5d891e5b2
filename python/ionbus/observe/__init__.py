"""What a broker does and how it stands: `broker.metrics()`, `broker.health()`, and their exporters (docs/observability.md)."""

from ionbus.observe.health import Health as Health, HealthBounds as HealthBounds, Problem as Problem
from ionbus.observe.metrics import Distribution as Distribution, Metrics as Metrics, Number as Number
