-- Long holds during which the thread did not run for much of the time: blocked with the GIL held.
select
  id, ts, thread, round(dur / 1e6, 3) as held_ms, round(cpu / 1e6, 3) as cpu_ms, place, expression
from gil_hold where cpu is not null and cpu < dur / 2 order by dur - cpu desc limit 20;
