"""What giltrace needs and what this machine has: one small function per question.

Nothing here prints. A check that cannot find something out says so in a note; it never raises.
"""

from __future__ import annotations

from giltrace.doctor.check import Check, Status, can_record
from giltrace.doctor.examine import examine_capture, examine_machine

__all__ = ["Check", "Status", "can_record", "examine_capture", "examine_machine"]
