-- What the kernel did with each thread while it held, awaited or was off the GIL (record --sched).
include perfetto module slices.time_in_state;
select
  thread.name as thread, thread.tid, part.name as state,
  round(sum(iif(part.state = 'Running', part.dur, 0)) / 1e6, 3) as on_cpu_ms,
  round(sum(iif(part.state in ('R', 'R+'), part.dur, 0)) / 1e6, 3) as runnable_ms,
  round(sum(iif(part.state = 'S', part.dur, 0)) / 1e6, 3) as sleeping_ms
from thread_slice_time_in_state part
join thread using (utid)
where part.name in ('holds GIL', 'waiting for GIL', 'off GIL', 'switching')
group by utid, part.name order by utid, part.name;
