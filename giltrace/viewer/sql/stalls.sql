-- Convoy stalls: waits for which a switch interval had to run out, by the call before them.
select
  wait.thread, coalesce(off.call, '') as after_call, off.place, count(*) as stalls,
  round(sum(wait.dur) / 1e6, 3) as stalled_ms, round(avg(wait.dur) / 1e6, 3) as mean_ms,
  round(sum(off.dur) / 1e6, 3) as off_ms
from gil_wait wait left join gil_off off on off.tid = wait.tid and off.ts + off.dur = wait.ts
where wait.requests > 0 group by 1, 2, 3 order by stalled_ms desc limit 50;
