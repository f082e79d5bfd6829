-- What giltrace found, with the evidence for it, one fact a row.
select
  finding, replace(replace(key, 'debug.', ''), 'args.', '') as fact, display_value as value
from gil_finding join args using (arg_set_id)
where key glob 'debug.*' or key glob 'args.*' order by gil_finding.ts, gil_finding.id, args.id;
