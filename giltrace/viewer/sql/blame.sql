-- Whom waits are to be blamed on: each wait counts for the holder that took most of it.
select
  thread as waiter, coalesce(blame, 'nobody') as holder, blame_place as place,
  blame_expression as expression, count(*) as waits, round(sum(dur) / 1e6, 3) as waited_ms
from gil_wait group by 1, 2, 3, 4 order by waited_ms desc limit 50;
