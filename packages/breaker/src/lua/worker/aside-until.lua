-- Returns the time until which a worker is set aside, or 0. ARGV: worker id.
return reply(load(), { asideUntil = tonumber(redis.call('HGET', ASIDE, ARGV[1]) or '0') })
