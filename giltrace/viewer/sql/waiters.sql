-- Who waited for the GIL: how often, for how long, and how often a switch interval ran out.
select
  thread, tid, count(*) as waits, round(sum(dur) / 1e6, 3) as waited_ms,
  round(avg(dur) / 1e6, 3) as mean_ms, round(max(dur) / 1e6, 3) as longest_ms,
  sum(requests) as drop_requests
from gil_wait group by tid, thread order by waited_ms desc;
