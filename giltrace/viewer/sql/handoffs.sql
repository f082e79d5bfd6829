-- From whom to whom the GIL went, why, and for how long nobody had it.
select
  from_thread, to_thread, cause, count(*) as times,
  round(avg(latency) / 1e3, 1) as mean_latency_us, round(max(latency) / 1e3, 1) as longest_latency_us
from gil_handoff group by 1, 2, 3 order by times desc limit 50;
