-- Who held the GIL: how often, for how long, and for which share of the time.
select
  thread, tid, count(*) as holds, round(sum(dur) / 1e6, 3) as held_ms,
  round(100.0 * sum(dur) / (select max(ts + dur) - min(ts) from gil_hold), 1) as share_percent,
  round(max(dur) / 1e6, 3) as longest_ms, round(avg(dur) / 1e6, 3) as mean_ms,
  sum(cause = 'forced') as forced
from gil_hold group by tid, thread order by held_ms desc;
