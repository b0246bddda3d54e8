-- Lets one worker win the trial, at the retry time or after the lease of the last winner has expired.
-- ARGV: worker id, lease in ms, 1 if the upstream has a probe, the operator's global concurrency or ''.
local record = load()
local due = record.state == 'open' and NOW >= record.retryAt
local orphaned = record.state == 'half_open' and record.probing == 1 and NOW >= record.leaseUntil
if not (due or orphaned) or redis.call('HEXISTS', ASIDE, ARGV[1]) == 1 then
  return reply(record, { won = false })
end
clear_ramp(record)
if record.limited == 0 then
  record.operatorConcurrency = ARGV[4]
  record.limited = 1
end
record.retryAt = 0
move(record, 'half_open', orphaned and 'The last trial was lost with its worker.' or 'The reset time is over.', ARGV[1])
if ARGV[3] == '1' then
  record.probing, record.leaseHolder, record.leaseUntil = 1, ARGV[1], NOW + tonumber(ARGV[2])
else
  start_ramp(record, 0)
end
save(record)
publish(record)
return reply(record, { won = true })
