-- giltrace's own tables, in every query: what the slices mean, whichever format they came in.
-- Times are nanoseconds of CLOCK_MONOTONIC; `thread` is a name, `tid` tells threads of one name apart.

-- Arguments have one prefix in Perfetto's own format and another in Chrome's.
create perfetto function _gil_arg(arg_set_id long, name string) returns string as
select coalesce(extract_arg($arg_set_id, 'debug.' || $name), extract_arg($arg_set_id, 'args.' || $name));

create perfetto view _gil_state as
select
  slice.id, slice.ts, slice.dur, slice.name, slice.depth, slice.thread_dur, slice.parent_id,
  slice.arg_set_id, thread.name as thread, thread.tid, process.pid
from slice
join thread_track on slice.track_id = thread_track.id
join thread using (utid)
left join process using (upid);

-- Every hold of a GIL. `cpu` is how long its thread ran, where that was measured.
create perfetto view gil_hold as
select
  id, ts, dur, thread, tid, pid, thread_dur as cpu,
  _gil_arg(arg_set_id, 'cause') as cause,
  _gil_arg(arg_set_id, 'where') as place,
  _gil_arg(arg_set_id, 'expression') as expression,
  _gil_arg(arg_set_id, 'call') as call
from _gil_state where name = 'holds GIL';

-- Every wait for a GIL, and who is most to blame for it.
create perfetto view gil_wait as
select
  id, ts, dur, thread, tid, pid,
  cast(_gil_arg(arg_set_id, 'requests') as int) as requests,
  _gil_arg(arg_set_id, 'blame') as blame,
  _gil_arg(arg_set_id, 'blame_where') as blame_place,
  _gil_arg(arg_set_id, 'blame_expression') as blame_expression
from _gil_state where name = 'waiting for GIL';

-- Every stretch off a GIL. `kind` is blocked, sleep, lock, native or switching, where it is known.
create perfetto view gil_off as
select
  off.id, off.ts, off.dur, off.thread, off.tid, off.pid, off.thread_dur as cpu,
  _gil_arg(off.arg_set_id, 'kind') as kind,
  call.name as call,
  _gil_arg(coalesce(call.arg_set_id, off.arg_set_id), 'where') as place,
  _gil_arg(coalesce(call.arg_set_id, off.arg_set_id), 'expression') as expression
from _gil_state off
left join slice call on call.parent_id = off.id
where off.name in ('off GIL', 'switching');

-- Every hand-off: a release by one thread, the next acquire by another. `latency` is between them.
create perfetto view gil_handoff as
select
  giver.id as released, taker.id as acquired, giver.ts + giver.dur as ts,
  giver.thread as from_thread, taker.thread as to_thread,
  taker.ts - giver.ts - giver.dur as latency, giver.cause, giver.place
from flow
join gil_hold giver on giver.id = flow.slice_out
join gil_hold taker on taker.id = flow.slice_in;

-- Every finding, in words; its evidence is in the arguments of slice `id`.
create perfetto view gil_finding as
select slice.id, slice.ts, slice.dur, slice.name as finding, slice.arg_set_id
from slice where slice.category = 'giltrace' and slice.dur >= 0 and slice.depth = 0
  and _gil_arg(slice.arg_set_id, 'switch_interval') is not null;
