"""Go's durations."""

import re

UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def seconds(text):
    parts = re.findall(r"([0-9.]+)(h|ms|m|s|us|ns)", text)
    assert "".join(n + u for n, u in parts) == text, text
    return round(sum(float(n) * UNITS[u] for n, u in parts), 6)
