-- Until when a worker is set aside; 0: it is not. ARGV: worker id.
return reply(load(), { asideUntil = tonumber(redis.call('HGET', ASIDE, ARGV[1]) or '0') })
