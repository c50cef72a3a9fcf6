"""Tests as packets: what really passes between machines, and what does not."""

from tailgit.probe.executor import Executor
from tailgit.probe.flow import Flow, FlowState
from tailgit.probe.probes import Listeners, Outcome, Probe, Result, listening, send

__all__ = [
    "Executor",
    "Flow",
    "FlowState",
    "Listeners",
    "Outcome",
    "Probe",
    "Result",
    "listening",
    "send",
]
