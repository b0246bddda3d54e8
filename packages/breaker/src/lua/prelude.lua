-- Precedes every script: the keys, the record, and the functions that scripts share. All keys have the upstream's hash
-- tag, so a script touches one slot. Each transition raises the generation by one and is added to the stream.
local BREAKER, HOLDS, PERMITS, WORKERS, EVIDENCE, ASIDE, TRANSITIONS, ADVERTS = unpack(KEYS)
local CHANNEL = string.gsub(BREAKER, ':breaker$', ':changed')
local WORKER_SILENCE_MS = 15000
local NOW = now()

local TEXT = { state = true, reason = true, leaseHolder = true, operatorConcurrency = true }

local function load()
  local record = {
    state = 'closed', generation = 0, since = 0, streak = 0, retryAt = 0, trips = 0, reason = '', forced = 0,
    permits = 0, round = 0, successes = 0, linear = 0, era = 0, probing = 0, proven = 0,
    leaseHolder = '', leaseUntil = 0, lastTrialAt = 0, limited = 0, operatorConcurrency = '',
  }
  local flat = redis.call('HGETALL', BREAKER)
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if TEXT[name] then record[name] = value else record[name] = tonumber(value) or 0 end
  end
  return record
end

local function save(record)
  local flat = {}
  for name, value in pairs(record) do
    flat[#flat + 1] = name
    flat[#flat + 1] = tostring(value)
  end
  redis.call('HSET', BREAKER, unpack(flat))
end

-- Removes workers without a recent heartbeat, and with them whether they were set aside.
local function forget_silent_workers()
  local flat = redis.call('HGETALL', WORKERS)
  for i = 1, #flat, 2 do
    if NOW - cjson.decode(flat[i + 1]).seenAt > WORKER_SILENCE_MS then
      redis.call('HDEL', WORKERS, flat[i])
      redis.call('HDEL', ASIDE, flat[i])
      redis.call('HDEL', ADVERTS, flat[i])
    end
  end
end
forget_silent_workers()

-- The workers that take calls: their number and their total concurrency.
local function fleet()
  local seen = { count = 0, capacity = 0, ids = {} }
  local flat = redis.call('HGETALL', WORKERS)
  for i = 1, #flat, 2 do
    if redis.call('HEXISTS', ASIDE, flat[i]) == 0 then
      seen.count = seen.count + 1
      seen.capacity = seen.capacity + cjson.decode(flat[i + 1]).capacity
      seen.ids[flat[i]] = true
    end
  end
  seen.capacity = math.max(seen.capacity, 1)
  return seen
end

-- Stored holds that have not expired, and the breaker's hold, which is derived from the record so that both agree.
local function active_holds(record)
  local holds = {}
  local flat = redis.call('HGETALL', HOLDS)
  for i = 1, #flat, 2 do
    local hold = cjson.decode(flat[i + 1])
    if hold['until'] == cjson.null or hold['until'] > NOW then
      holds[#holds + 1] = hold
    else
      redis.call('HDEL', HOLDS, flat[i])
    end
  end
  if record.state == 'open' then
    holds[#holds + 1] = {
      kind = 'breaker', owner = record.forced == 1 and 'operator' or 'breaker', reason = record.reason,
      since = record.since, ['until'] = record.retryAt,
    }
  elseif record.state == 'half_open' and record.probing == 1 then
    holds[#holds + 1] = {
      kind = 'breaker', owner = record.leaseHolder, reason = 'A probe is asking whether the upstream works again.',
      since = record.since, ['until'] = record.leaseUntil,
    }
  end
  return holds
end

local function reply(record, extra)
  local answer = { now = NOW, record = record, holds = active_holds(record), permitsTarget = fleet().capacity,
    inFlight = redis.call('ZCARD', PERMITS), aside = redis.call('HKEYS', ASIDE) }
  for name, value in pairs(extra or {}) do answer[name] = value end
  return cjson.encode(answer)
end

local function publish(record)
  redis.call('PUBLISH', CHANNEL, cjson.encode({ generation = record.generation, state = record.state }))
end

local function note(fields)
  local flat = {}
  for name, value in pairs(fields) do
    flat[#flat + 1] = name
    flat[#flat + 1] = tostring(value)
  end
  redis.call('XADD', TRANSITIONS, 'MAXLEN', '~', 2000, '*', 'at', NOW, unpack(flat))
end

local function move(record, state, reason, worker)
  local from = record.state
  record.state = state
  record.since = NOW
  record.generation = record.generation + 1
  record.reason = reason
  note({ kind = 'breaker', from = from, to = state, generation = record.generation, reason = reason,
    worker = worker, streak = record.streak, retryAt = record.retryAt,
    evidence = cjson.encode(redis.call('HGETALL', EVIDENCE)) })
end

local function clear_ramp(record)
  redis.call('DEL', PERMITS)
  record.permits, record.round, record.successes, record.linear = 0, 0, 0, 0
  record.probing, record.proven, record.leaseHolder, record.leaseUntil = 0, 0, '', 0
end

-- The open time doubles with each consecutive trip, up to ten times the reset time. Each reset time spent closed
-- cancels one trip.
local function open(record, reason, worker, resetMs)
  if record.state == 'closed' then
    record.trips = math.max(0, record.trips - math.floor((NOW - record.since) / resetMs))
  end
  record.trips = record.trips + 1
  record.retryAt = NOW + math.min(resetMs * 2 ^ (record.trips - 1), resetMs * 10)
  record.forced = 0
  clear_ramp(record)
  move(record, 'open', reason, worker)
end

local function close(record, reason, worker)
  record.streak = 0
  record.retryAt = 0
  record.forced = 0
  clear_ramp(record)
  move(record, 'closed', reason, worker)
  redis.call('DEL', EVIDENCE)
end

-- Frees permits whose lease has expired because their holder died.
local function drop_expired_permits()
  redis.call('ZREMRANGEBYSCORE', PERMITS, '-inf', NOW)
end

-- Continues half-open with real calls, starting with one permit.
local function start_ramp(record, proven)
  record.probing, record.leaseHolder, record.leaseUntil = 0, '', 0
  record.proven = proven
  record.permits, record.round, record.linear = 1, 0, 0
  record.successes = proven
  record.lastTrialAt = NOW
end
