-- The longest waits, with the time to look them up at and whom to blame.
select
  id, ts, thread, round(dur / 1e6, 3) as waited_ms, requests as drop_requests,
  blame as holder, blame_place as place, blame_expression as expression
from gil_wait order by dur desc, ts limit 20;
