-- In which calls threads were off the GIL, and how long they then waited to get it back.
select
  off.thread, coalesce(off.call, '(unnamed)') as call, off.kind, count(*) as times,
  round(sum(off.dur) / 1e6, 3) as off_ms, count(wait.id) as waits,
  round(coalesce(sum(wait.dur), 0) / 1e6, 3) as then_waited_ms
from gil_off off left join gil_wait wait on wait.tid = off.tid and wait.ts = off.ts + off.dur
group by off.tid, 1, 2, 3 order by then_waited_ms desc, off_ms desc limit 50;
