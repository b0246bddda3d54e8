-- Records an attempt that showed the upstream as up. Needed only during a streak or while half-open.
-- ARGV: call id, worker id, generation of its admission.
local record = load()
if tonumber(ARGV[3]) ~= record.generation then return reply(record) end
if record.state == 'closed' then
  if record.streak > 0 and redis.call('HEXISTS', ASIDE, ARGV[2]) == 0 then
    record.streak = 0
    redis.call('DEL', EVIDENCE)
    save(record)
    publish(record)
  end
elseif record.state == 'half_open' and redis.call('ZREM', PERMITS, ARGV[1]) == 1 then
  record.successes = record.successes + 1
  record.round = record.round + 1
  record.lastTrialAt = NOW
  if record.round >= record.permits then
    record.round = 0
    record.permits = record.linear == 1 and record.permits + 1 or record.permits * 2
    if record.permits > fleet().capacity then
      close(record, 'The upstream took the whole fleet again.', ARGV[2])
    end
  end
  save(record)
  publish(record)
end
return reply(record)
